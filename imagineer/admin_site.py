from django.contrib.admin import AdminSite


class ImagineerAdminSite(AdminSite):
    site_header = "Imagineer"
    site_title = "Imagineer"
    index_title = "The curation desk"
    site_url = "/"

    # The order in which a curator works; what is not named follows by name.
    SECTIONS = ("gallery", "templates_app", "scraping", "labeling", "training", "jobs", "accounts", "auth")

    def get_app_list(self, request, app_label=None):
        rank = {label: place for place, label in enumerate(self.SECTIONS)}
        sections = super().get_app_list(request, app_label)
        return sorted(sections, key=lambda section: rank.get(section["app_label"], len(rank)))
