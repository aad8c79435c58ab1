using System.Diagnostics;

namespace OrleansMq.PostgreSql.Servers;

/// <summary>The user that the server runs as. PostgreSQL refuses root, so a server started by root uses another account.</summary>
internal sealed class ServerAccount
{
    private static readonly string[] Candidates = ["postgres", "nobody"];

    private readonly string? _other;

    private ServerAccount(string? other) => _other = other;

    /// <summary>Chooses the caller's account, or an unprivileged one if the caller is root.</summary>
    /// <exception cref="InvalidOperationException">The caller is root, and there is no such account.</exception>
    public static ServerAccount Choose()
    {
        if (!Environment.IsPrivilegedProcess)
            return new ServerAccount(null);
        var known = File.ReadLines("/etc/passwd").Select(line => line.Split(':')[0]).ToHashSet(StringComparer.Ordinal);
        return new ServerAccount(Candidates.FirstOrDefault(known.Contains) ?? throw new InvalidOperationException(
            "PostgreSQL does not run as root, and this machine has neither a user 'postgres' nor 'nobody'. Run it as another user."));
    }

    /// <summary>Builds the start of a server program. It does not inherit the caller's working directory, which it may not be able to
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
            // The server's log is searched for English messages.
            Environment = { ["LC_ALL"] = "C", ["TZ"] = "UTC" },
        };
    }

    /// <summary>Checks that the account can enter a directory.</summary>
    /// <exception cref="InvalidOperationException">It cannot; the message names the directory that keeps it out, and the fix.</exception>
    public async Task DemandEntryAsync(string directory, CancellationToken cancellationToken)
    {
        if (_other is null || Path.GetDirectoryName(directory) is not { } parent)
            return;
        var parents = new Stack<string>();
        for (string? next = parent; next is not null; next = Path.GetDirectoryName(next))
            parents.Push(next);
        foreach (var next in parents)
        {
            using var test = Process.Start(Start("test", "-x", next))!;
            test.StandardInput.Close();
            await test.WaitForExitAsync(cancellationToken).ConfigureAwait(false);
            if (test.ExitCode != 0)
            {
                throw new InvalidOperationException($"PostgreSQL refuses to run as root, so it runs as user '{_other}', which cannot enter "
                    + $"{next}. Choose a directory elsewhere, such as below /var/lib, or let others enter this one: chmod o+x {next}");
            }
        }
    }

    /// <summary>Gives the account ownership of a directory with all its contents.</summary>
    public async Task OwnAsync(string directory, CancellationToken cancellationToken)
    {
        if (_other is not null)
            await ServerCommand.RunAsync(new ProcessStartInfo("chown", ["-hR", $"{_other}:{GroupOf(_other)}", directory])
            {
                RedirectStandardInput = true,
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            }, cancellationToken).ConfigureAwait(false);
    }

    // The number of the primary group, whose name may differ from the user's.
    private static string GroupOf(string user) =>
        File.ReadLines("/etc/passwd").Select(line => line.Split(':')).First(fields => fields[0] == user)[3];
}
