from imagineer.backup import Report, make_backup
from imagineer.management.backup_command import BackupCommand


class Command(BackupCommand):
    help = (
        "Copy the database and the originals to a folder (again into the same one: only what is new or has changed "
        "there is copied) or to one .tar file. Workers may go on meanwhile. Settings and models are not in it; keep .env elsewhere."
    )
    path_help = "a folder, or a name that ends in .tar"
    act = staticmethod(make_backup)

    def describe(self, report: Report) -> str:
        how = "are in the bucket and were only looked at" if report.is_listing_only else "are in it"
        return (
            f"Backup written to {report.path}: the database, and {report.files:,} files "
            f"({report.size / 2**20:,.0f} MiB) {how}; {report.copied:,} are new"
            f"{f', {report.mended:,} had changed there and were mended' * bool(report.mended)}."
        )

    def complain(self, report: Report) -> str:
        first = (report.lost + report.damaged)[0]
        return (
            f"{len(report.lost)} files are lost and {len(report.damaged)} damaged in the library itself, the first "
            f"is {first}. The backup holds everything else, and of these what an earlier one had put into the same folder."
        )
