"""Dates, times and decimals as arguments and results."""

from datetime import date, datetime
from decimal import Decimal

KINDS = {"date": date.fromisoformat, "datetime": datetime.fromisoformat, "decimal": Decimal}
KEY = "__kind__"


class ShopSerializer:
    def encode(self, value):
        if isinstance(value, datetime):
            return {KEY: "datetime", "text": value.isoformat()}
        if isinstance(value, date):
            return {KEY: "date", "text": value.isoformat()}
        if isinstance(value, Decimal):
            return {KEY: "decimal", "text": str(value)}
        if isinstance(value, (list, tuple)):
            return [self.encode(inner) for inner in value]
        if isinstance(value, dict):
            return {name: self.encode(inner) for name, inner in value.items()}
        return value

    def decode(self, plain):
        if isinstance(plain, list):
            return [self.decode(inner) for inner in plain]
        if isinstance(plain, dict):
            if KEY in plain:
                return KINDS[plain[KEY]](plain["text"])
            return {name: self.decode(inner) for name, inner in plain.items()}
        return plain
