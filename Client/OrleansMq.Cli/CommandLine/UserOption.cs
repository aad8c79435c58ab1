using System.CommandLine;

namespace OrleansMq.Cli.CommandLine;

/// <summary><c>--user NAME</c> and <c>--password-file FILE</c>: as whom a command connects to a broker. The password is never an argument,
/// since every process on a machine can read those of the others.</summary>
internal sealed class UserOption
{
    private const string UserVariable = "OMQ_USER";
    private const string PasswordVariable = "OMQ_PASSWORD";

    private readonly Option<string> _user = new("--user")
    {
        Description = $"The user to connect as. By default {UserVariable}, else none.",
        HelpName = "NAME",
    };

    private readonly Option<string> _passwordFile = new("--password-file")
    {
        Description = $"The file whose first line is the user's password. By default the password is {PasswordVariable}.",
        HelpName = "FILE",
    };

    private UserOption() { }

    /// <summary>Creates the options and adds them to a command.</summary>
    public static UserOption AddTo(Command command)
    {
        var option = new UserOption();
        command.Options.Add(option._user);
        command.Options.Add(option._passwordFile);
        return option;
    }

    /// <summary>Returns name and password; null without a user.</summary>
    public (string User, string Password)? Find(ParseResult parsed)
    {
        if ((parsed.GetValue(_user) ?? Environment.GetEnvironmentVariable(UserVariable)) is not { Length: > 0 } user)
            return null;
        if (user.Contains(':', StringComparison.Ordinal))
            throw CommandFailedException.Usage($"--user '{user}': a name that has a colon cannot be sent over HTTP.");
        var password = parsed.GetValue(_passwordFile) is { } file ? ReadFirstLine("--password-file", file)
            : Environment.GetEnvironmentVariable(PasswordVariable);
        return password is { Length: > 0 } ? (user, password)
            : throw CommandFailedException.Usage($"User '{user}' needs a password: give --password-file, or set {PasswordVariable}.");
    }

    /// <summary>Returns the first line of a file.</summary>
    public static string ReadFirstLine(string option, string file)
    {
        try
        {
            return File.ReadLines(file).FirstOrDefault() ?? "";
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw CommandFailedException.Usage($"{option} {file}: {unreadable.Message}");
        }
    }
}
