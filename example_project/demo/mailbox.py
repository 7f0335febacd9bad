"""A mail server that is busy at first: it refuses a message twice, then writes it to a file."""

import smtplib

from django.core.mail.backends import filebased

from .models import Mail

BUSY = (451, b"4.3.2 (simulated) The server is busy, try again later")
ACCEPTED = "250 2.0.0 Written to a file"


class EmailBackend(filebased.EmailBackend):
    """
    Write messages to files, as Django's file backend does.

    A message with the header X-Demo-Mail, the id of a `Mail`, is refused as often as that row
    says. Every answer is recorded in `Delivery`.
    """

    def send_messages(self, email_messages):
        mails = [mail for message in email_messages if (mail := demo_mail(message))]
        for mail in mails:
            refuse_at_first(mail)
        count = super().send_messages(email_messages)
        for mail in mails:
            mail.deliveries.create(reply=ACCEPTED)
        return count


def demo_mail(message) -> Mail | None:
    mail_id = message.extra_headers.get("X-Demo-Mail")
    return Mail.objects.get(pk=mail_id) if mail_id else None


def refuse_at_first(mail: Mail) -> None:
    """Record a refusal and raise smtplib.SMTPDataError, while the message has some left."""
    if mail.deliveries.count() >= mail.refusals:
        return
    code, text = BUSY
    mail.deliveries.create(reply=f"{code} {text.decode()}")
    raise smtplib.SMTPDataError(code, text)
