using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace OrleansMq.Tls;

/// <summary>Reads certificates and keys from files.</summary>
internal static class CertificateFiles
{
    private const string PemStart = "-----BEGIN ";

    /// <summary>Reads a file. Certificates and keys have a few KiB.</summary>
    /// <exception cref="TlsConfigurationException">It cannot be read.</exception>
    public static byte[] Read(string path)
    {
        try
        {
            return File.ReadAllBytes(path);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new TlsConfigurationException($"'{path}' cannot be read: {fault.Message}", fault);
        }
    }

    /// <summary>Decodes a certificate with its private key, and the intermediate authorities beside it.</summary>
    /// <param name="source">Names the files.</param>
    /// <param name="certificate">The content of the certificate's file.</param>
    /// <param name="key">The content of the key's file; null where it is in that of the certificate.</param>
    /// <exception cref="TlsConfigurationException">A file is not valid, or the key is not the certificate's.</exception>
    public static (X509Certificate2 Certificate, X509Certificate2Collection Intermediates) Decode(TlsCertificate source, byte[] certificate,
        byte[]? key)
    {
        try
        {
            return IsPem(certificate)
                ? DecodePem(source, Encoding.ASCII.GetString(certificate), Encoding.ASCII.GetString(key ?? certificate))
                : DecodePfx(source, certificate);
        }
        catch (Exception fault) when (fault is CryptographicException or ArgumentException)
        {
            throw new TlsConfigurationException($"The certificate in '{source.File}' cannot be read: {fault.Message}"
                + (source.Password is null ? " If it is encrypted, give its password." : " Check its password."), fault);
        }
    }

    /// <summary>Decodes the authorities in a PEM file.</summary>
    /// <exception cref="TlsConfigurationException">The file has none, or is not valid.</exception>
    public static X509Certificate2Collection DecodeAuthorities(string path, byte[] content)
    {
        var authorities = new X509Certificate2Collection();
        try
        {
            authorities.ImportFromPem(Encoding.ASCII.GetString(content));
        }
        catch (CryptographicException fault)
        {
            throw new TlsConfigurationException($"The authorities in '{path}' cannot be read: {fault.Message}", fault);
        }
        return authorities.Count > 0 ? authorities
            : throw new TlsConfigurationException($"'{path}' has no certificate: expected PEM, beginning with {PemStart}CERTIFICATE-----.");
    }

    private static bool IsPem(byte[] content) => content.AsSpan().IndexOf(Encoding.ASCII.GetBytes(PemStart)) >= 0;

    private static (X509Certificate2, X509Certificate2Collection) DecodePem(TlsCertificate source, string text, string key)
    {
        var all = new X509Certificate2Collection();
        all.ImportFromPem(text);
        if (all.Count == 0)
            throw new TlsConfigurationException($"'{source.File}' has no certificate: expected PEM or PKCS#12.");
        if (!key.Contains("PRIVATE KEY-----", StringComparison.Ordinal))
            throw new TlsConfigurationException($"'{source.KeyFile ?? source.File}' has no private key"
                + (source.KeyFile is null ? ": give the file that has it." : ": expected PEM."));
        if (key.Contains("Proc-Type: 4,ENCRYPTED", StringComparison.Ordinal))
            throw new TlsConfigurationException($"The private key in '{source.KeyFile ?? source.File}' is encrypted in OpenSSL's old form. "
                + "Convert it: openssl pkcs8 -topk8.");
        foreach (var certificate in all)
        {
            // The certificate of the key is usually the first, and the others are its authorities.
            if (TryJoin(certificate, key, source) is { } joined)
                return (joined, [.. all.Where(other => !ReferenceEquals(other, certificate))]);
        }
        throw new TlsConfigurationException($"The private key in '{source.KeyFile ?? source.File}' does not belong to the certificate in "
            + $"'{source.File}'.");
    }

    // Null where the key belongs to another certificate.
    private static X509Certificate2? TryJoin(X509Certificate2 certificate, string key, TlsCertificate source)
    {
        try
        {
            var isEncrypted = key.Contains("-----BEGIN ENCRYPTED PRIVATE KEY-----", StringComparison.Ordinal);
            var joined = isEncrypted ? X509Certificate2.CreateFromEncryptedPem(certificate.ExportCertificatePem(), key, source.Password)
                : X509Certificate2.CreateFromPem(certificate.ExportCertificatePem(), key);
            // Windows' TLS does not take a key that is in memory alone.
            return OperatingSystem.IsWindows() ? X509CertificateLoader.LoadPkcs12(joined.Export(X509ContentType.Pfx), null) : joined;
        }
        catch (ArgumentException)
        {
            // .NET's word for a key that is not the certificate's.
            return null;
        }
        catch (CryptographicException) when (HasOtherKind(certificate, key))
        {
            return null;
        }
    }

    // An RSA key beside a certificate with an elliptic key, or the reverse: .NET finds no key that it could try.
    private static bool HasOtherKind(X509Certificate2 certificate, string key)
    {
        var isRsa = certificate.GetRSAPublicKey() is not null;
        return (isRsa && key.Contains("BEGIN EC PRIVATE KEY", StringComparison.Ordinal))
            || (!isRsa && key.Contains("BEGIN RSA PRIVATE KEY", StringComparison.Ordinal));
    }

    private static (X509Certificate2, X509Certificate2Collection) DecodePfx(TlsCertificate source, byte[] content)
    {
        if (source.KeyFile is not null)
            throw new TlsConfigurationException($"'{source.File}' is not PEM, so it has its own private key: omit '{source.KeyFile}'.");
        var all = X509CertificateLoader.LoadPkcs12Collection(content, source.Password);
        var own = all.FirstOrDefault(static certificate => certificate.HasPrivateKey)
            ?? throw new TlsConfigurationException($"'{source.File}' has no certificate with a private key.");
        return (own, [.. all.Where(certificate => !ReferenceEquals(certificate, own))]);
    }
}
