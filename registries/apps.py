from django.apps import AppConfig


class RegistriesConfig(AppConfig):
    name = "registries"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register what this app adds; imported here, since it needs all models."""
        from registries import registration

        registration.register()
