using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace OrleansMq.Tests.Shared;

/// <summary>An authority that issues certificates in a test.</summary>
internal sealed class TestAuthority : IDisposable
{
    private static readonly Oid ServerUse = new("1.3.6.1.5.5.7.3.1");
    private static readonly Oid ClientUse = new("1.3.6.1.5.5.7.3.2");

    private readonly X509Certificate2 _certificate;
    private readonly TestAuthority? _parent;

    /// <param name="name">Its name.</param>
    /// <param name="parent">The authority that it is below; null for a root.</param>
    public TestAuthority(string name = "Test root", TestAuthority? parent = null)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        var (from, to) = (DateTimeOffset.UtcNow.AddDays(-2), DateTimeOffset.UtcNow.AddYears(10));
        _parent = parent;
        if (parent is null)
        {
            _certificate = request.CreateSelfSigned(from, to);
            return;
        }
        using var issued = request.Create(parent._certificate, from, to.AddDays(-1), Serial());
        _certificate = issued.CopyWithPrivateKey(key);
    }

    /// <summary>Its certificate as PEM.</summary>
    public string Pem => _certificate.ExportCertificatePem();

    /// <summary>Its certificate without the key.</summary>
    public X509Certificate2 Certificate => X509CertificateLoader.LoadCertificate(_certificate.RawData);

    /// <summary>Issues a certificate of a server, with its key.</summary>
    /// <param name="names">The server's names and addresses.</param>
    /// <param name="end">When it ends; null: in a year.</param>
    public X509Certificate2 IssueServer(string[] names, DateTimeOffset? end = null)
    {
        var alternatives = new SubjectAlternativeNameBuilder();
        foreach (var name in names)
        {
            if (IPAddress.TryParse(name, out var address))
                alternatives.AddIpAddress(address);
            else
                alternatives.AddDnsName(name);
        }
        return Issue(new X500DistinguishedName($"CN={names[0]}"), [ServerUse], alternatives.Build(), end);
    }

    /// <summary>Issues a certificate of a server on this machine, with its key.</summary>
    public X509Certificate2 IssueServer() => IssueServer(["localhost", "127.0.0.1"]);

    /// <summary>Issues a certificate for both ends of connections, with its key.</summary>
    public X509Certificate2 IssueMember() => Issue(new X500DistinguishedName("CN=member"), [ServerUse, ClientUse], null, null);

    /// <summary>Issues a certificate that names no use, and so is for all, with its key.</summary>
    public X509Certificate2 IssueForAllUses() => Issue(new X500DistinguishedName("CN=all uses"), [], null, null);

    /// <summary>Issues a certificate of a client, with its key.</summary>
    /// <param name="subject">Such as <c>CN=alice,O=Example</c>.</param>
    /// <param name="end">When it ends; null: in a year.</param>
    public X509Certificate2 IssueClient(string subject, DateTimeOffset? end = null) =>
        Issue(new X500DistinguishedName(subject, X500DistinguishedNameFlags.None), [ClientUse], null, end);

    public void Dispose() => _certificate.Dispose();

    private X509Certificate2 Issue(X500DistinguishedName subject, OidCollection uses, X509Extension? alternatives, DateTimeOffset? end)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest(subject, key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        if (uses.Count > 0)
            request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension(uses, false));
        if (alternatives is not null)
            request.CertificateExtensions.Add(alternatives);
        using var issued = request.Create(_certificate, DateTimeOffset.UtcNow.AddDays(-1), end ?? DateTimeOffset.UtcNow.AddYears(1),
            Serial());
        using var joined = issued.CopyWithPrivateKey(key);
        // A key that only .NET holds is not taken by every TLS implementation.
        return X509CertificateLoader.LoadPkcs12(joined.Export(X509ContentType.Pfx), null, X509KeyStorageFlags.Exportable);
    }

    private static byte[] Serial()
    {
        var serial = RandomNumberGenerator.GetBytes(12);
        serial[0] &= 0x7f;
        return serial;
    }
}
