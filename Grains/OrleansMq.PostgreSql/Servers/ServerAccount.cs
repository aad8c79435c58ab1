using System.Diagnostics;

namespace OrleansMq.PostgreSql.Servers;

/// <summary>Whom the server runs as. PostgreSQL refuses root; started by root it becomes another user.</summary>
internal sealed class ServerAccount
{
    private static readonly string[] Candidates = ["postgres", "nobody"];

    private readonly string? _other;

    private ServerAccount(string? other) => _other = other;

    /// <summary>The caller himself, or where he is root an account without rights.</summary>
    /// <exception cref="InvalidOperationException">He is root, and there is no such account.</exception>
    public static ServerAccount Choose()
    {
        if (!Environment.IsPrivilegedProcess)
            return new ServerAccount(null);
        var known = File.ReadLines("/etc/passwd").Select(line => line.Split(':')[0]).ToHashSet(StringComparer.Ordinal);
        return new ServerAccount(Candidates.FirstOrDefault(known.Contains) ?? throw new InvalidOperationException(
            "PostgreSQL does not run as root, and this machine has neither a user 'postgres' nor 'nobody'. Run it as another user."));
    }

    /// <summary>How to start a program of the server; it does not inherit the caller's working directory, which it may not be able to
    /// read.</summary>
    public ProcessStartInfo Start(string program, params IEnumerable<string> arguments)
    {
        IEnumerable<string> words = [program, .. arguments];
        if (_other is not null)
            words = ["setpriv", $"--reuid={_other}", $"--regid={GroupOf(_other)}", "--clear-groups", .. words];
        return new ProcessStartInfo(words.First(), words.Skip(1))
        {
            WorkingDirectory = "/",
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            // Messages are looked for in the server's log.
            Environment = { ["LC_ALL"] = "C", ["TZ"] = "UTC" },
        };
    }

    /// <summary>Gives it a directory with all that is in it.</summary>
    public async Task OwnAsync(string directory, CancellationToken cancellationToken)
    {
        if (_other is not null)
            await ServerCommand.RunAsync(new ProcessStartInfo("chown", ["-R", $"{_other}:{GroupOf(_other)}", directory])
            {
                RedirectStandardInput = true,
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            }, cancellationToken).ConfigureAwait(false);
    }

    // The number of the primary group: its name need not be the user's.
    private static string GroupOf(string user) =>
        File.ReadLines("/etc/passwd").Select(line => line.Split(':')).First(fields => fields[0] == user)[3];
}
