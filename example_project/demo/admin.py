from django.contrib import admin

from .models import CalendarYear, Delivery, Mail, Picture


class DeliveryInline(admin.TabularInline):
    model = Delivery
    readonly_fields = ["at", "reply"]
    extra = 0


@admin.register(Picture)
class PictureAdmin(admin.ModelAdmin):
    list_display = ["name", "original", "thumbnail"]


@admin.register(CalendarYear)
class CalendarYearAdmin(admin.ModelAdmin):
    list_display = ["year", "is_leap", "january_1", "easter", "orthodox_easter", "calendar_import"]
    list_filter = ["calendar_import"]


@admin.register(Mail)
class MailAdmin(admin.ModelAdmin):
    list_display = ["recipient", "sent_at"]
    inlines = [DeliveryInline]
