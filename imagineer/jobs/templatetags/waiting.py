from django import template

from imagineer.jobs.waiting import say

register = template.Library()
register.filter("span", say)
