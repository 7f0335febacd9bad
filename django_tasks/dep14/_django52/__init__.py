"""The contract of django.tasks for Django 5.2, which does not have it.

Follows Django 6.1. Imports point one way: constants, exceptions and json know no other module;
then handler, base, signals, backends and checks, each reading only those before it.
"""
