using OrleansMq.Tls;

namespace OrleansMq.Connections;

/// <summary>TLS between the silos of a cluster, and between Orleans clients and silos: all of them have it, or none.</summary>
public sealed record ClusterTlsOptions
{
    /// <summary>The certificate of this process, for both ends of a connection. Where it names extended key usages, a silo's has those of
    /// servers and of clients; that of clients is enough for an Orleans client, and opens no silo port. The files are read again when they
    /// change.</summary>
    public required TlsCertificate Certificate { get; init; }

    /// <summary>The file with the authorities that issue certificates of the cluster, PEM. Whoever has a certificate of theirs is let in,
    /// whatever its name: use authorities of the cluster's own.</summary>
    public required string Authorities { get; init; }
}
