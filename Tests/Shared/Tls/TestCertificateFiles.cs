using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using OrleansMq.Tls;

namespace OrleansMq.Tests.Shared;

/// <summary>A folder with the certificates of a test.</summary>
internal sealed class TestCertificateFiles : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("omq-tls-").FullName;

    /// <summary>Issues the certificates.</summary>
    public TestAuthority Authority { get; } = new();

    /// <summary>The authority's certificate, written on first use.</summary>
    public string AuthorityFile => Write("ca.pem", Authority.Pem);

    /// <summary>Returns the path of a file.</summary>
    public string PathOf(string name) => Path.Combine(_directory, name);

    /// <summary>Writes a file as a whole. Returns its path.</summary>
    public string Write(string name, string content)
    {
        var path = PathOf(name);
        File.WriteAllText(path + ".new", content);
        File.Move(path + ".new", path, overwrite: true);
        return path;
    }

    /// <summary>Writes a certificate and its key as PEM.</summary>
    public TlsCertificate Write(X509Certificate2 certificate, string name = "server") =>
        new(Write($"{name}.pem", certificate.ExportCertificatePem())) { KeyFile = Write($"{name}.key", KeyOf(certificate)) };

    /// <summary>The options of a server on this machine.</summary>
    public TlsOptions Server(ClientAuthentication clients = ClientAuthentication.None) => new()
    {
        Certificates = [Write(Authority.IssueServer())],
        ClientAuthentication = clients,
        ClientAuthorities = clients == ClientAuthentication.None ? null : AuthorityFile,
    };

    /// <summary>The private key as PEM.</summary>
    public static string KeyOf(X509Certificate2 certificate)
    {
        using var key = certificate.GetECDsaPrivateKey()!;
        return key.ExportPkcs8PrivateKeyPem();
    }

    /// <summary>The private key as PEM, encrypted.</summary>
    public static string EncryptedKeyOf(X509Certificate2 certificate, string password)
    {
        using var key = certificate.GetECDsaPrivateKey()!;
        return key.ExportEncryptedPkcs8PrivateKeyPem(password,
            new PbeParameters(PbeEncryptionAlgorithm.Aes256Cbc, HashAlgorithmName.SHA256, 1000));
    }

    public void Dispose()
    {
        Authority.Dispose();
        Directory.Delete(_directory, recursive: true);
    }
}
