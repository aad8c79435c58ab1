using System.CommandLine;
using OrleansMq.Client.Http;

namespace OrleansMq.Cli.CommandLine;

/// <summary><c>--server URL</c>: where the broker is, or several of a cluster. Every command that talks to one has it.</summary>
internal sealed class ServerOption
{
    private const string EnvironmentVariable = "OMQ_SERVER";
    private const string Default = "http://127.0.0.1:8080";

    // A cluster that has just lost a broker has another leader for everything within seconds.
    private static readonly TimeSpan ClusterRetryTimeout = TimeSpan.FromSeconds(15);

    private ServerOption() => Option = new Option<IReadOnlyList<Uri>>("--server")
    {
        Description = $"The broker's HTTP address, or several of a cluster with commas between: where one does not answer the next is "
            + $"asked. Without it {EnvironmentVariable}, else {Default}.",
        HelpName = "URL[,URL]",
        CustomParser = result => Parse(result.Tokens[0].Value, result.AddError),
        Arity = ArgumentArity.ExactlyOne,
    };

    /// <summary>The option itself.</summary>
    public Option<IReadOnlyList<Uri>> Option { get; }

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
    public HttpBroker Connect(ParseResult parsed)
    {
        var addresses = Addresses(parsed);
        return new HttpBroker(addresses,
            new HttpBrokerOptions { RetryTimeout = addresses.Count > 1 ? ClusterRetryTimeout : TimeSpan.Zero });
    }

    /// <summary>The brokers' addresses: from the option, the environment, or the default.</summary>
    public IReadOnlyList<Uri> Addresses(ParseResult parsed) =>
        parsed.GetResult(Option) is { Implicit: false }
            ? parsed.GetRequiredValue(Option)
            : Parse(FromEnvironment() ?? Default, error => throw CommandFailedException.Usage($"{EnvironmentVariable}: {error}"));

    private static string? FromEnvironment() => Environment.GetEnvironmentVariable(EnvironmentVariable) is { Length: > 0 } value
        ? value : null;

    /// <summary>Addresses as people write them: <c>broker:8080</c> is <c>http://broker:8080</c>.</summary>
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
                addError($"'{part}' is no address of a broker. Write it like {Default}, and several with commas between.");
        }
        return addresses;
    }
}
