using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Client;

namespace OrleansMq.Cli.Clusters;

/// <summary>
/// What a secured local cluster is secured with: an authority of its own, a certificate for each broker, and the password of the user
/// <c>admin</c>. All of it is in files that only their owner may read.
/// <code>
/// secure/ca.pem            the authority's certificate, which clients trust
/// secure/ca.key            its private key, for the certificates of later brokers
/// secure/admin.password    the password of admin
/// secure/broker-N.pem      certificate and private key of broker N
/// secure/client.pem        certificate and private key of Orleans clients, which opens no silo port
/// </code>
/// </summary>
internal sealed class LocalSecurity
{
    /// <summary>The user who may do everything.</summary>
    public const string User = "admin";

    private const UnixFileMode OwnersFile = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private const UnixFileMode OwnersDirectory = OwnersFile | UnixFileMode.UserExecute;
    private const int PasswordBytes = 18;
    private static readonly TimeSpan AuthorityTime = TimeSpan.FromDays(3_650);
    private static readonly TimeSpan CertificateTime = TimeSpan.FromDays(365);
    private static readonly Oid ServerUse = new("1.3.6.1.5.5.7.3.1");
    private static readonly Oid ClientUse = new("1.3.6.1.5.5.7.3.2");

    private readonly string _directory;

    private LocalSecurity(string directory, string password) => (_directory, Password) = (directory, password);

    /// <summary>The file with the authority's certificate.</summary>
    public string AuthorityFile => Path.Combine(_directory, "ca.pem");

    /// <summary>The file with the password of <see cref="User"/>.</summary>
    public string PasswordFile => PasswordFileOf(_directory);

    /// <summary>The file that kcat, and other programs of librdkafka, read how to connect from: arguments are for all to see.</summary>
    public string KcatFile => Path.Combine(_directory, "kcat.conf");

    /// <summary>The file with the certificate and the private key of Orleans clients.</summary>
    public string ClientFile => Path.Combine(_directory, "client.pem");

    /// <summary>The password of <see cref="User"/>.</summary>
    public string Password { get; }

    /// <summary>Opens the files of a cluster, and creates them where there are none.</summary>
    /// <param name="cluster">The cluster's directory.</param>
    /// <param name="isWanted">Whether the cluster is to be secured. One that was secured before stays so.</param>
    /// <returns>Null for a cluster that is not secured.</returns>
    /// <exception cref="CommandFailedException">A file cannot be read or written.</exception>
    public static LocalSecurity? Open(string cluster, bool isWanted)
    {
        var directory = Path.Combine(cluster, "secure");
        if (!isWanted && !Directory.Exists(directory))
            return null;
        try
        {
            if (OperatingSystem.IsWindows())
                Directory.CreateDirectory(directory);
            else
                Directory.CreateDirectory(directory, OwnersDirectory);
            if (!File.Exists(PasswordFileOf(directory)))
                Write(PasswordFileOf(directory), Convert.ToBase64String(RandomNumberGenerator.GetBytes(PasswordBytes)) + "\n");
            var security = new LocalSecurity(directory, File.ReadLines(PasswordFileOf(directory)).FirstOrDefault() ?? "");
            if (!File.Exists(security.AuthorityFile))
                security.CreateAuthority();
            security.Issue("client", security.ClientFile, ClientUse);
            Write(security.KcatFile, $"""
                security.protocol=SASL_SSL
                ssl.ca.location={security.AuthorityFile}
                sasl.mechanisms=SCRAM-SHA-512
                sasl.username={User}
                sasl.password={security.Password}

                """);
            return security;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw CommandFailedException.Refused($"{directory}: {fault.Message}", fault);
        }
    }

    /// <summary>Issues a certificate for a broker, and returns its file.</summary>
    public string CertificateOf(int brokerId)
    {
        var file = Path.Combine(_directory, $"broker-{brokerId}.pem");
        Issue($"broker-{brokerId}", file, ServerUse, ClientUse);
        return file;
    }

    /// <summary>The options of a client, with this authority and user.</summary>
    public HttpBrokerOptions Secure(HttpBrokerOptions options) =>
        options with { CertificateAuthorities = AuthorityFile, User = User, Password = Password };

    private static string PasswordFileOf(string directory) => Path.Combine(directory, "admin.password");

    private void Issue(string name, string file, params Oid[] uses)
    {
        using var authority = X509Certificate2.CreateFromPemFile(AuthorityFile, Path.Combine(_directory, "ca.key"));
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}, O=OrleansMq", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("localhost");
        names.AddIpAddress(IPAddress.Loopback);
        names.AddIpAddress(IPAddress.IPv6Loopback);
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([.. uses], false));
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(authority, true, false));
        var now = DateTimeOffset.UtcNow;
        using var issued = request.Create(authority, now.AddMinutes(-5), now + CertificateTime, RandomNumberGenerator.GetBytes(16));
        Write(file, issued.ExportCertificatePem() + "\n" + key.ExportPkcs8PrivateKeyPem() + "\n");
    }

    private void CreateAuthority()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=Local cluster, O=OrleansMq", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, true, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        var now = DateTimeOffset.UtcNow;
        using var authority = request.CreateSelfSigned(now.AddMinutes(-5), now + AuthorityTime);
        // The certificate last: with it, the authority is there.
        Write(Path.Combine(_directory, "ca.key"), key.ExportPkcs8PrivateKeyPem() + "\n");
        Write(AuthorityFile, authority.ExportCertificatePem() + "\n");
    }

    // Whole, or not at all; never readable by others, not even for a moment.
    private static void Write(string file, string text)
    {
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = OwnersFile;
        using (var writer = new StreamWriter(file + ".new", options))
            writer.Write(text);
        File.Move(file + ".new", file, overwrite: true);
    }
}
