using System.Security.Authentication;

namespace OrleansMq.Tls;

/// <summary>TLS of a gateway's ports. The files are read again when they change: connections that are made from then on use the new
/// ones.</summary>
public sealed record TlsOptions
{
    /// <summary>The broker's certificates, at least one. A client gets the first whose names include the host that it asked for, else the
    /// first of all.</summary>
    public required IReadOnlyList<TlsCertificate> Certificates { get; init; }

    /// <summary>Whether clients have certificates.</summary>
    public ClientAuthentication ClientAuthentication { get; init; }

    /// <summary>The file with the authorities that issue the certificates of clients, PEM. Needed unless
    /// <see cref="ClientAuthentication"/> is <see cref="ClientAuthentication.None"/>: the machine's own authorities issue certificates to
    /// everyone.</summary>
    public string? ClientAuthorities { get; init; }

    /// <summary>
    /// How the subject of a client's certificate becomes the client's name, as Kafka's <c>ssl.principal.mapping.rules</c>:
    /// <c>RULE:pattern/replacement/[LU]</c> and <c>DEFAULT</c>, separated by commas. The first rule whose pattern matches the whole subject
    /// counts; <c>DEFAULT</c> is the subject itself. A client whose subject matches none is refused.
    /// </summary>
    public string PrincipalMappingRules { get; init; } = PrincipalMapping.DefaultRules;

    /// <summary>The versions that are allowed: 1.2 and 1.3.</summary>
    public SslProtocols Protocols { get; init; } = SslProtocols.Tls12 | SslProtocols.Tls13;
}

/// <summary>A certificate with its private key.</summary>
/// <param name="File">The certificate, PEM with its intermediate authorities behind it, or PKCS#12 (PFX) with its key.</param>
public sealed record TlsCertificate(string File)
{
    /// <summary>The private key of a PEM certificate; null: it is in the certificate's file.</summary>
    public string? KeyFile { get; init; }

    /// <summary>The password of the private key or of the PKCS#12 file; null: it has none.</summary>
    public string? Password { get; init; }

    /// <summary>Omits the password.</summary>
    public override string ToString() => $"{nameof(TlsCertificate)} {File}";
}

/// <summary>Whether the clients of a port have certificates.</summary>
public enum ClientAuthentication
{
    /// <summary>They are not asked for one.</summary>
    None = 0,
    /// <summary>They are asked, and may connect without. A certificate that is not trusted is refused.</summary>
    Requested = 1,
    /// <summary>They connect with a trusted certificate only.</summary>
    Required = 2,
}
