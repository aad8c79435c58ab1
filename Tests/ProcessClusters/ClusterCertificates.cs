using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;
using System.Security.Cryptography.X509Certificates;

namespace OrleansMq.Tests.ProcessClusters;

/// <summary>The files with the certificates of a cluster and of its clients, and two authorities that issue both, of which the second
/// replaces the first. Clients trust brokers of both.</summary>
internal sealed class ClusterCertificates : IDisposable
{
    /// <summary>How a subject becomes a name: <c>CN=Alice,OU=Clients,O=Example</c> is <c>User:alice</c>, and those of other units are
    /// refused.</summary>
    public const string MappingRules = "RULE:CN=([^,]+),OU=Clients,O=Example/$1/L";

    private readonly TemporaryDirectory _directory = new();

    public ClusterCertificates()
    {
        Serve(First);
        Admit(First);
        Write("trusted.pem", First.Pem + "\n" + Second.Pem + "\n");
    }

    /// <summary>The authority at first.</summary>
    public TestAuthority First { get; } = new("First root");

    /// <summary>The one that replaces it.</summary>
    public TestAuthority Second { get; } = new("Second root");

    /// <summary>One that brokers never admit.</summary>
    public TestAuthority Foreign { get; } = new("Foreign root");

    /// <summary>The certificate of all brokers, with its key.</summary>
    public string OfBrokers => _directory["brokers.pem"];

    /// <summary>The authorities that admitted clients have their certificates from.</summary>
    public string Admitted => _directory["admitted.pem"];

    /// <summary>The authorities that clients trust.</summary>
    public string Trusted => _directory["trusted.pem"];

    /// <summary>Replaces the brokers' certificate.</summary>
    public string Serve(TestAuthority authority) => Write("brokers.pem", authority.IssueServer());

    /// <summary>Replaces the authorities that admitted clients have their certificates from.</summary>
    public void Admit(params TestAuthority[] authorities) =>
        Write("admitted.pem", string.Concat(authorities.Select(static one => one.Pem + "\n")));

    /// <summary>Issues a client's certificate. Returns the file, which has its key, too.</summary>
    /// <param name="authority">The authority.</param>
    /// <param name="name">The common name.</param>
    /// <param name="unit">The unit; the mapping rules know Clients alone.</param>
    public string OfClient(TestAuthority authority, string name, string unit = "Clients") =>
        Write($"{Guid.NewGuid():N}.pem", authority.IssueClient($"O=Example,OU={unit},CN={name}"));

    public void Dispose()
    {
        First.Dispose();
        Second.Dispose();
        Foreign.Dispose();
        _directory.Dispose();
    }

    private string Write(string name, X509Certificate2 certificate)
    {
        using (certificate)
        using (var key = certificate.GetECDsaPrivateKey()!)
            return Write(name, key.ExportPkcs8PrivateKeyPem() + "\n" + certificate.ExportCertificatePem() + "\n");
    }

    // As a whole: brokers may read it at any moment.
    private string Write(string name, string content)
    {
        File.WriteAllText(_directory[name] + ".new", content);
        File.Move(_directory[name] + ".new", _directory[name], overwrite: true);
        return _directory[name];
    }
}
