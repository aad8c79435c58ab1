using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace OrleansMq.Tls;

/// <summary>
/// The authorities that issue the certificates of peers. Each is trusted by itself, as in Kafka: also beside another of the same name, as
/// while a root is replaced, and below a root that is not among them. .NET tries one authority of a name, and trusts roots alone; where it
/// refuses a peer, such authorities are tried one by one. Immutable.
/// </summary>
internal sealed class TrustedAuthorities
{
    private readonly X509Certificate2Collection _all;
    // Those that .NET may refuse wrongly. Most files have none.
    private readonly X509Certificate2[] _doubtful;

    /// <param name="all">The certificates.</param>
    public TrustedAuthorities(X509Certificate2Collection all)
    {
        _all = all;
        _doubtful = [.. all.Where(one => !IsRoot(one) || all.Count(other => HasSameName(other, one)) > 1)];
    }

    /// <summary>Creates the policy of one handshake, which changes it.</summary>
    /// <param name="uses">The uses that the peer's certificate must be for; one that names none is for all.</param>
    public X509ChainPolicy CreatePolicy(Oid[] uses) => PolicyOf(_all, uses);

    /// <summary>Whether a peer is trusted, after .NET has judged.</summary>
    /// <param name="certificate">The peer's certificate.</param>
    /// <param name="chain">The chain that .NET built.</param>
    /// <param name="errors">What .NET found.</param>
    /// <param name="uses">The uses that the certificate must be for, as of the policy.</param>
    public bool Trusts(X509Certificate certificate, X509Chain? chain, SslPolicyErrors errors, Oid[] uses) =>
        errors == SslPolicyErrors.None || (errors == SslPolicyErrors.RemoteCertificateChainErrors && chain is not null
            && Array.Exists(_doubtful, authority => IsIssuedBelow(authority, certificate, chain, uses)));

    private bool IsIssuedBelow(X509Certificate2 authority, X509Certificate certificate, X509Chain judged, Oid[] uses)
    {
        var policy = PolicyOf([authority], uses);
        // What the peer sent, and the authorities that may be between it and this one.
        policy.ExtraStore.AddRange(judged.ChainPolicy.ExtraStore);
        policy.ExtraStore.AddRange(_all.Where(one => !IsRoot(one) && !HasSameName(one, authority)).ToArray());
        using var own = X509CertificateLoader.LoadCertificate(certificate.GetRawCertData());
        using var chain = new X509Chain { ChainPolicy = policy };
        return chain.Build(own) || EndsAt(chain, authority);
    }

    // Everything but the missing root is as it should be.
    private static bool EndsAt(X509Chain chain, X509Certificate2 authority) => chain.ChainElements.Count > 1
        && chain.ChainElements[^1].Certificate.RawDataMemory.Span.SequenceEqual(authority.RawDataMemory.Span)
        && Array.TrueForAll(chain.ChainStatus, static fault => fault.Status == X509ChainStatusFlags.PartialChain);

    private static X509ChainPolicy PolicyOf(X509Certificate2Collection trusted, Oid[] uses)
    {
        var policy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
            DisableCertificateDownloads = true,
        };
        policy.CustomTrustStore.AddRange(trusted);
        foreach (var use in uses)
            policy.ApplicationPolicy.Add(use);
        return policy;
    }

    private static bool IsRoot(X509Certificate2 certificate) =>
        certificate.SubjectName.RawData.AsSpan().SequenceEqual(certificate.IssuerName.RawData);

    private static bool HasSameName(X509Certificate2 one, X509Certificate2 other) =>
        one.SubjectName.RawData.AsSpan().SequenceEqual(other.SubjectName.RawData);
}
