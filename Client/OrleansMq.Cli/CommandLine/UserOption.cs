using System.CommandLine;
using OrleansMq.Client;

namespace OrleansMq.Cli.CommandLine;

/// <summary><c>--user NAME</c> and <c>--password-file FILE</c>, or <c>--token-file FILE</c>: as whom a command connects.
/// Neither password nor token is an argument, since every process on a machine can read those of the others.</summary>
internal sealed class UserOption
{
    private const string UserVariable = "OMQ_USER";
    private const string PasswordVariable = "OMQ_PASSWORD";
    private const string TokenFileVariable = "OMQ_TOKEN_FILE";

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

    private readonly Option<string> _tokenFile = new("--token-file")
    {
        Description = "The file whose first line is a token to connect with, in place of a user. It is read again for each request. By "
            + $"default {TokenFileVariable}, else none.",
        HelpName = "FILE",
    };

    private UserOption() { }

    /// <summary>Creates the options and adds them to a command.</summary>
    public static UserOption AddTo(Command command)
    {
        var option = new UserOption();
        command.Options.Add(option._user);
        command.Options.Add(option._passwordFile);
        command.Options.Add(option._tokenFile);
        return option;
    }

    /// <summary>Adds the user, or the token, to a client's options.</summary>
    public HttpBrokerOptions ApplyTo(HttpBrokerOptions options, ParseResult parsed)
    {
        var (givenUser, givenFile) = (parsed.GetValue(_user), parsed.GetValue(_tokenFile));
        if (givenUser is not null && givenFile is not null)
            throw CommandFailedException.Usage("--user and --token-file: a command connects as a user or with a token. Give one of them.");
        // What is given counts before the environment.
        var file = givenFile ?? (givenUser is null ? Environment.GetEnvironmentVariable(TokenFileVariable) : null);
        if (file is { Length: > 0 })
            return options with { Token = () => ReadToken(file) };
        if ((givenUser ?? Environment.GetEnvironmentVariable(UserVariable)) is not { Length: > 0 } user)
            return options;
        if (user.Contains(':', StringComparison.Ordinal))
            throw CommandFailedException.Usage($"--user '{user}': a name that has a colon cannot be sent over HTTP.");
        var password = parsed.GetValue(_passwordFile) is { } passwordFile ? ReadFirstLine("--password-file", passwordFile)
            : Environment.GetEnvironmentVariable(PasswordVariable);
        return password is { Length: > 0 } ? options with { User = user, Password = password }
            : throw CommandFailedException.Usage($"User '{user}' needs a password: give --password-file, or set {PasswordVariable}.");
    }

    private static string ReadToken(string file) => ReadFirstLine("--token-file", file).Trim() is { Length: > 0 } token
        && token.All(static c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_' or '=' or '~' or '+' or '/') ? token
        : throw CommandFailedException.Usage($"--token-file {file}: its first line is no token, such as a JSON Web Token.");

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
