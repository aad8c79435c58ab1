using System.CommandLine;
using OrleansMq.Client;

namespace OrleansMq.Cli.CommandLine;

/// <summary><c>--ca FILE</c>, <c>--client-certificate FILE</c> and <c>--client-key FILE</c>: whom a command trusts behind an https address,
/// and who it is there.</summary>
internal sealed class TlsFileOptions
{
    private readonly Option<string> _authorities = Of("--ca", "OMQ_CA",
        "The authorities that an https broker is trusted by, PEM.", "those of the machine");
    private readonly Option<string> _certificate = Of("--client-certificate", "OMQ_CLIENT_CERTIFICATE",
        "This client's certificate for an https broker, PEM.", "none");
    private readonly Option<string> _key = Of("--client-key", "OMQ_CLIENT_KEY",
        "The private key of that certificate, PEM without a password.", "in the same file");

    private TlsFileOptions() { }

    /// <summary>Creates the options and adds them to a command.</summary>
    public static TlsFileOptions AddTo(Command command)
    {
        var options = new TlsFileOptions();
        command.Options.Add(options._authorities);
        command.Options.Add(options._certificate);
        command.Options.Add(options._key);
        return options;
    }

    /// <summary>Creates a client of the broker, with the files that were given.</summary>
    public HttpBroker Connect(ParseResult parsed, IReadOnlyList<Uri> addresses, HttpBrokerOptions options)
    {
        try
        {
            return new HttpBroker(addresses, options with
            {
                CertificateAuthorities = Find(parsed, _authorities, "OMQ_CA"),
                ClientCertificate = Find(parsed, _certificate, "OMQ_CLIENT_CERTIFICATE"),
                ClientKey = Find(parsed, _key, "OMQ_CLIENT_KEY"),
            });
        }
        catch (ArgumentException unreadable)
        {
            throw CommandFailedException.Usage(unreadable.Message);
        }
    }

    private static Option<string> Of(string name, string variable, string description, string otherwise) =>
        new(name) { Description = $"{description} By default {variable}, else {otherwise}.", HelpName = "FILE" };

    private static string? Find(ParseResult parsed, Option<string> option, string variable) =>
        parsed.GetValue(option) ?? (Environment.GetEnvironmentVariable(variable) is { Length: > 0 } value ? value : null);
}
