from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class ConsoleConfig(AppConfig):
    name = "console"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register what this app adds; imported here, since it needs all models."""
        from console import registration

        registration.register()


class SupportConfig(AdminConfig):
    """Django admin with a site of our own."""

    default_site = "console.support.site.ConsoleAdminSite"
