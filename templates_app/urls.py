from django.urls import path

from templates_app import views

app_name = "templates_app"
urlpatterns = [
    path("runs/<int:pk>", views.run_page, name="run"),
    path("runs/<int:pk>/progress", views.run_progress, name="run-progress"),
]
