using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace OrleansMq.Client;

/// <summary>TLS of an <see cref="HttpBroker"/>'s connections.</summary>
internal static class HttpBrokerTls
{
    /// <summary>Creates the options of the connections.</summary>
    /// <exception cref="ArgumentException">A file cannot be read. The message names it.</exception>
    public static SslClientAuthenticationOptions Create(HttpBrokerOptions options)
    {
        var tls = new SslClientAuthenticationOptions();
        if (options.CertificateAuthorities is { } authorities)
        {
            tls.CertificateChainPolicy = new X509ChainPolicy
            {
                TrustMode = X509ChainTrustMode.CustomRootTrust,
                RevocationMode = X509RevocationMode.NoCheck,
            };
            tls.CertificateChainPolicy.CustomTrustStore.AddRange(ReadAuthorities(authorities));
        }
        if (options.ClientCertificate is null)
            return tls;
        // A fault is reported now rather than by the first request.
        ReadCertificate(options).Dispose();
        tls.LocalCertificateSelectionCallback = (_, _, _, _, _) => ReadCertificate(options);
        return tls;
    }

    private static X509Certificate2Collection ReadAuthorities(string path)
    {
        var authorities = new X509Certificate2Collection();
        try
        {
            authorities.ImportFromPemFile(path);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException or CryptographicException)
        {
            throw new ArgumentException($"The authorities in '{path}' cannot be read: {fault.Message}", fault);
        }
        return authorities.Count > 0 ? authorities
            : throw new ArgumentException($"'{path}' has no certificate: expected PEM, beginning with -----BEGIN CERTIFICATE-----.");
    }

    private static X509Certificate2 ReadCertificate(HttpBrokerOptions options)
    {
        try
        {
            var certificate = options.ClientKeyPassword is { } password
                ? X509Certificate2.CreateFromEncryptedPemFile(options.ClientCertificate!, password, options.ClientKey)
                : X509Certificate2.CreateFromPemFile(options.ClientCertificate!, options.ClientKey);
            // Windows' TLS does not take a key that is in memory alone.
            return OperatingSystem.IsWindows()
                ? X509CertificateLoader.LoadPkcs12(certificate.Export(X509ContentType.Pfx), null) : certificate;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException or CryptographicException or ArgumentException)
        {
            throw new ArgumentException($"The client's certificate in '{options.ClientCertificate}' cannot be read with its key: "
                + fault.Message, fault);
        }
    }
}
