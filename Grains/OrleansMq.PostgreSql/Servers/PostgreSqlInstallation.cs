namespace OrleansMq.PostgreSql.Servers;

/// <summary>PostgreSQL's server programs on this machine.</summary>
/// <param name="Binaries">The directory of <c>initdb</c>, <c>pg_ctl</c> and <c>postgres</c>.</param>
internal sealed record PostgreSqlInstallation(string Binaries)
{
    // Where distributions install programs that are not in the path, in one directory for each major version.
    private static readonly string[] Versioned = ["/usr/lib/postgresql", "/usr/local/pgsql", "/usr/pgsql", "/opt/homebrew/opt"];

    /// <summary>Finds the newest installation on this machine; null if there is none.</summary>
    public static PostgreSqlInstallation? Find()
    {
        var versioned = Versioned.Where(Directory.Exists)
            .SelectMany(root => Directory.EnumerateDirectories(root))
            .OrderByDescending(MajorVersion)
            .Select(directory => Path.Combine(directory, "bin"));
        var inPath = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries);
        var found = versioned.Concat(inPath).FirstOrDefault(directory =>
            File.Exists(Path.Combine(directory, "initdb")) && File.Exists(Path.Combine(directory, "postgres")));
        return found is null ? null : new PostgreSqlInstallation(found);
    }

    /// <summary>Returns the full path of a program.</summary>
    public string this[string program] => Path.Combine(Binaries, program);

    private static int MajorVersion(string directory)
    {
        var digits = string.Concat(Path.GetFileName(directory).Where(char.IsAsciiDigit));
        return int.TryParse(digits, out var version) ? version : 0;
    }
}
