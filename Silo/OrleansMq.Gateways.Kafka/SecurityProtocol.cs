namespace OrleansMq.Gateways.Kafka;

/// <summary>How the clients of a Kafka listener connect, with the names of Kafka's <c>security.protocol</c>.</summary>
public enum SecurityProtocol
{
    /// <summary><c>PLAINTEXT</c>: in clear text, without authentication.</summary>
    Plaintext = 0,
    /// <summary><c>SSL</c>: TLS; a client's certificate authenticates it.</summary>
    Ssl = 1,
    /// <summary><c>SASL_PLAINTEXT</c>: in clear text, authenticated by SASL.</summary>
    SaslPlaintext = 2,
    /// <summary><c>SASL_SSL</c>: TLS, authenticated by SASL.</summary>
    SaslSsl = 3,
}

/// <summary>The names of security protocols, and what they mean.</summary>
internal static class SecurityProtocols
{
    private static readonly (SecurityProtocol Protocol, string Name)[] _all =
    [
        (SecurityProtocol.Plaintext, "PLAINTEXT"), (SecurityProtocol.Ssl, "SSL"), (SecurityProtocol.SaslPlaintext, "SASL_PLAINTEXT"),
        (SecurityProtocol.SaslSsl, "SASL_SSL"),
    ];

    /// <summary>Kafka's name of the protocol.</summary>
    public static string NameOf(SecurityProtocol protocol) => Array.Find(_all, one => one.Protocol == protocol).Name;

    /// <summary>Finds a protocol by Kafka's name, in any case.</summary>
    public static bool TryParse(string name, out SecurityProtocol protocol)
    {
        var index = Array.FindIndex(_all, one => string.Equals(one.Name, name, StringComparison.OrdinalIgnoreCase));
        protocol = index < 0 ? default : _all[index].Protocol;
        return index >= 0;
    }

    /// <summary>Whether connections are encrypted.</summary>
    public static bool UsesTls(this SecurityProtocol protocol) => protocol is SecurityProtocol.Ssl or SecurityProtocol.SaslSsl;

    /// <summary>Whether clients authenticate themselves by SASL.</summary>
    public static bool UsesSasl(this SecurityProtocol protocol) => protocol is SecurityProtocol.SaslPlaintext or SecurityProtocol.SaslSsl;
}
