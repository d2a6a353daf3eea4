from rest_framework.routers import SimpleRouter

from templates_app.api import RunViewSet, TemplateViewSet

router = SimpleRouter(trailing_slash=False)
router.register("batch-templates", TemplateViewSet, "template")
router.register("runs", RunViewSet, "run")
urlpatterns = router.urls
