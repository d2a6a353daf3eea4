"""The only addresses of django-allauth that answer: no sign-up, no mails, no resets, no connections."""

from allauth.account.views import login, logout
from django.urls import path
from django.views.decorators.http import require_http_methods

from imagineer.accounts import views

read_and_post = require_http_methods(["GET", "HEAD", "POST"])  # allauth takes a PUT for a POST

page_patterns = [
    path("auth/login", read_and_post(login), name="account_login"),
    path("auth/logout", read_and_post(logout), name="account_logout"),
    path("auth/google", views.google_login, name="google_login"),
    path("auth/google/callback", views.google_callback, name="google_callback"),
    path("auth/demo/<str:uid>/<str:token>", views.demo_sign_in, name="demo-sign-in"),
]
