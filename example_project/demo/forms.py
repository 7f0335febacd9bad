from django import forms
from django.core.files.base import File

from . import pictures
from .models import Picture

MAX_BYTES = 20 * 1024 * 1024
MAX_PICTURES = 20


class ManyImagesField(forms.ImageField):
    """An image field that takes several files; its value is a list."""

    class Input(forms.ClearableFileInput):
        allow_multiple_selected = True

    widget = Input

    def clean(self, data, initial=None) -> list[File]:
        files = data if isinstance(data, (list, tuple)) else [data]
        if len(files) > MAX_PICTURES:
            raise forms.ValidationError(f"At most {MAX_PICTURES} pictures at a time, please.")
        return [self.clean_one(file, initial) for file in files]

    def clean_one(self, file: File | None, initial) -> File:
        if file and file.size > MAX_BYTES:
            raise forms.ValidationError(f"{file.name} is larger than 20 MB.")
        return super().clean(file, initial)


class PicturesForm(forms.Form):
    """Uploaded pictures, or drawn ones for somebody who has none at hand."""

    error_messages = {
        "required": "Choose at least one picture.",
        "invalid_image": "That is not a picture: a JPEG, PNG, GIF or WebP file works.",
    }
    pictures = ManyImagesField(required=False, error_messages=error_messages)

    def clean(self) -> dict:
        if "draw" in self.data:
            first = Picture.objects.count()
            self.cleaned_data["pictures"] = [pictures.draw(first + n) for n in range(3)]
        elif not any(self.cleaned_data.get("pictures", [])) and not self.errors:
            raise forms.ValidationError(self.error_messages["required"])
        return self.cleaned_data


class MailForm(forms.Form):
    recipient = forms.EmailField(
        error_messages={
            "required": "Write an address.",
            "invalid": "That is not an e-mail address.",
        }
    )
