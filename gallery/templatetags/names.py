from django import template

from gallery.names import readable

register = template.Library()
register.filter("readable", readable)
