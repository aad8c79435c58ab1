using System.CommandLine;
using OrleansMq.Client;

namespace OrleansMq.Cli.CommandLine;

/// <summary><c>--server URL</c>: the address of the broker, or several of a cluster. An option of every command that connects to
/// one.</summary>
internal sealed class ServerOption
{
    private const string EnvironmentVariable = "OMQ_SERVER";
    private const string Default = "http://127.0.0.1:8080";

    // A cluster that has just lost a broker completes all failovers within seconds.
    private static readonly TimeSpan ClusterRetryTimeout = TimeSpan.FromSeconds(15);

    private ServerOption() => Option = new Option<IReadOnlyList<Uri>>("--server")
    {
        Description = $"The broker's HTTP address, or several of a cluster separated by commas: if one does not answer, the next is "
            + $"used. By default {EnvironmentVariable}, else {Default}.",
        HelpName = "URL[,URL]",
        CustomParser = result => Parse(result.Tokens[0].Value, result.AddError),
        Arity = ArgumentArity.ExactlyOne,
    };

    private UserOption User { get; init; } = null!;

    private TlsFileOptions Tls { get; init; } = null!;

    /// <summary>The option.</summary>
    public Option<IReadOnlyList<Uri>> Option { get; }

    /// <summary>Creates the option and adds it to a command.</summary>
    public static ServerOption AddTo(Command command)
    {
        var server = new ServerOption { User = UserOption.AddTo(command), Tls = TlsFileOptions.AddTo(command) };
        command.Options.Add(server.Option);
        return server;
    }

    /// <summary>Whether a server was given, by option or environment.</summary>
    public bool IsGiven(ParseResult parsed) => parsed.GetResult(Option) is { Implicit: false } || FromEnvironment() is not null;

    /// <summary>Creates a client of the broker. Sends nothing yet.</summary>
    public HttpBroker Connect(ParseResult parsed)
    {
        var addresses = Addresses(parsed);
        return Tls.Connect(parsed, addresses, User.ApplyTo(new HttpBrokerOptions
        {
            ClientName = "omq",
            RetryTimeout = addresses.Count > 1 ? ClusterRetryTimeout : TimeSpan.Zero,
        }, parsed));
    }

    /// <summary>Returns the brokers' addresses: from the option, the environment, or the default.</summary>
    public IReadOnlyList<Uri> Addresses(ParseResult parsed) =>
        parsed.GetResult(Option) is { Implicit: false }
            ? parsed.GetRequiredValue(Option)
            : Parse(FromEnvironment() ?? Default, error => throw CommandFailedException.Usage($"{EnvironmentVariable}: {error}"));

    private static string? FromEnvironment() => Environment.GetEnvironmentVariable(EnvironmentVariable) is { Length: > 0 } value
        ? value : null;

    /// <summary>Parses addresses; <c>broker:8080</c> is short for <c>http://broker:8080</c>.</summary>
    private static List<Uri> Parse(string text, Action<string> addError)
    {
        var addresses = new List<Uri>();
        foreach (var part in text.Split(',', StringSplitOptions.TrimEntries))
        {
            var url = part.Contains("://", StringComparison.Ordinal) ? part : "http://" + part;
            if (Uri.TryCreate(url, UriKind.Absolute, out var address)
                && (address.Scheme == Uri.UriSchemeHttp || address.Scheme == Uri.UriSchemeHttps))
                addresses.Add(address);
            else
                addError($"'{part}' is not an address of a broker. Write it like {Default}, and separate several with commas.");
        }
        return addresses;
    }
}
