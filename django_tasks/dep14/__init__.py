"""One import place for the API of ``django.tasks`` (DEP 14).

On Django 6.0 and later each module here re-exports Django's own objects, so that isinstance(),
signal receivers and override_settings(TASKS=...) agree with the rest of the project. Django 5.2
has no django.tasks: there the modules take the same contract, as of Django 6.1, from
``_django52``. When support for Django 5.2 ends, that subpackage and this one can go.

Importing any of these modules loads no models and touches neither the database nor the app
registry, because @task builds the backend while the user's module is still being imported.
"""
