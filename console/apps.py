from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class ConsoleConfig(AppConfig):
    name = "console"
    default_auto_field = "django.db.models.BigAutoField"


class SupportConfig(AdminConfig):
    """Django admin with a site of our own."""

    default_site = "console.support.site.ConsoleAdminSite"
