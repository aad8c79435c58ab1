using System.CommandLine;
using OrleansMq.Client.Http;

namespace OrleansMq.Cli.CommandLine;

/// <summary><c>--server URL</c>: where the broker is. Every command that talks to one has it.</summary>
internal sealed class ServerOption
{
    private const string EnvironmentVariable = "OMQ_SERVER";
    private const string Default = "http://127.0.0.1:8080";

    private ServerOption() => Option = new Option<Uri>("--server")
    {
        Description = $"The broker's HTTP address; without it {EnvironmentVariable}, else {Default}.",
        HelpName = "URL",
        CustomParser = result => Parse(result.Tokens[0].Value, result.AddError),
        Arity = ArgumentArity.ExactlyOne,
    };

    /// <summary>The option itself.</summary>
    public Option<Uri> Option { get; }

    /// <summary>A new option, added to a command.</summary>
    public static ServerOption AddTo(Command command)
    {
        var server = new ServerOption();
        command.Options.Add(server.Option);
        return server;
    }

    /// <summary>Whether the caller named a server, by option or environment.</summary>
    public bool IsGiven(ParseResult parsed) => parsed.GetResult(Option) is { Implicit: false } || FromEnvironment() is not null;

    /// <summary>A client of the broker; nothing is sent yet.</summary>
    public HttpBroker Connect(ParseResult parsed, HttpBrokerOptions? options = null) => new(Address(parsed), options);

    /// <summary>The broker's address: from the option, the environment, or the default.</summary>
    public Uri Address(ParseResult parsed) =>
        parsed.GetResult(Option) is { Implicit: false }
            ? parsed.GetRequiredValue(Option)
            : Parse(FromEnvironment() ?? Default, error => throw CommandFailedException.Usage($"{EnvironmentVariable}: {error}"))!;

    private static string? FromEnvironment() => Environment.GetEnvironmentVariable(EnvironmentVariable) is { Length: > 0 } value ? value : null;

    /// <summary>An address as people write it: <c>broker:8080</c> is <c>http://broker:8080</c>.</summary>
    private static Uri? Parse(string text, Action<string> addError)
    {
        var url = text.Contains("://", StringComparison.Ordinal) ? text : "http://" + text;
        if (Uri.TryCreate(url, UriKind.Absolute, out var address) && (address.Scheme == Uri.UriSchemeHttp || address.Scheme == Uri.UriSchemeHttps))
            return address;
        addError($"'{text}' is no address of a broker. Write it like {Default}.");
        return null;
    }
}
