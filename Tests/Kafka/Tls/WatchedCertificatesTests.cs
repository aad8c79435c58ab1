using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using OrleansMq.Diagnostics;
using OrleansMq.Testing;
using OrleansMq.Tests.Kafka.Codec;
using OrleansMq.Tests.Shared;
using OrleansMq.Tls;

namespace OrleansMq.Tests.Kafka.Tls;

/// <summary>Certificates in files: every form that is read, what is refused, and files that change.</summary>
public sealed class WatchedCertificatesTests : IDisposable
{
    private readonly TestCertificateFiles _files = new();
    private readonly ManualTimeProvider _time = new(DateTimeOffset.UtcNow);
    private readonly RecordedLog _log = new();

    public void Dispose() => _files.Dispose();

    [Fact]
    public async Task Certificate_is_read_in_every_form()
    {
        var server = _files.Authority.IssueServer();
        var chain = server.ExportCertificatePem() + "\n" + _files.Authority.Pem;
        File.WriteAllBytes(_files.PathOf("plain.pfx"), server.Export(X509ContentType.Pfx));
        File.WriteAllBytes(_files.PathOf("secret.pfx"), server.Export(X509ContentType.Pfx, "word"));
        var encrypted = _files.Write("encrypted.key", TestCertificateFiles.EncryptedKeyOf(server, "word"));
        TlsCertificate[] forms =
        [
            _files.Write(server),
            new(_files.Write("both.pem", TestCertificateFiles.KeyOf(server) + "\n" + chain)),
            // The certificate of the key need not be the first.
            new(_files.Write("reverse.pem", _files.Authority.Pem + "\n" + server.ExportCertificatePem()))
            {
                KeyFile = _files.PathOf("server.key"),
            },
            new(_files.Write("chain.pem", chain)) { KeyFile = encrypted, Password = "word" },
            new(_files.PathOf("plain.pfx")),
            new(_files.PathOf("secret.pfx")) { Password = "word" },
        ];
        foreach (var form in forms)
        {
            await using var loaded = Load(form);
            Assert.Equal(server.SerialNumber, ServedTo(loaded, null));
        }
    }

    [Fact]
    public void Certificate_of_an_RSA_key_is_read()
    {
        using var key = RSA.Create(2048);
        var server = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1)
            .CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddYears(1));
        var source = new TlsCertificate(_files.Write("rsa.pem", server.ExportCertificatePem()))
        {
            KeyFile = _files.Write("rsa.key", key.ExportRSAPrivateKeyPem()),
        };
        Assert.Equal(server.SerialNumber, ServedTo(Load(source), null));
    }

    [Fact]
    public void Files_that_cannot_be_used_are_refused_with_the_reason_and_without_the_password()
    {
        var server = _files.Write(_files.Authority.IssueServer());
        var other = _files.Write(_files.Authority.IssueServer(), "other");
        using var rsa = RSA.Create(2048);
        File.WriteAllBytes(_files.PathOf("secret.pfx"), _files.Authority.IssueServer().Export(X509ContentType.Pfx, "word"));
        _files.Write("encrypted.key", TestCertificateFiles.EncryptedKeyOf(_files.Authority.IssueServer(), "word"));
        AssertRefused(server with { KeyFile = other.KeyFile }, "does not belong to the certificate");
        AssertRefused(server with { KeyFile = _files.Write("rsa.key", rsa.ExportRSAPrivateKeyPem()) }, "does not belong to the");
        AssertRefused(server with { KeyFile = null }, "has no private key: give the file");
        AssertRefused(server with { KeyFile = server.File }, "has no private key");
        AssertRefused(server with { File = server.KeyFile! }, "has no certificate");
        AssertRefused(server with { File = _files.PathOf("missing.pem") }, "missing.pem' cannot be read");
        AssertRefused(server with { File = _files.Write("empty.pem", "") }, "empty.pem' is not PEM");
        AssertRefused(server with { KeyFile = _files.PathOf("encrypted.key") }, "give its password");
        AssertRefused(server with { KeyFile = _files.PathOf("encrypted.key"), Password = "wrong-one" }, "Check its password");
        AssertRefused(new TlsCertificate(_files.PathOf("secret.pfx")) { Password = "wrong-one" }, "Check its password");
        AssertRefused(new TlsCertificate(_files.PathOf("secret.pfx")) { KeyFile = server.KeyFile, Password = "word" }, "omit");
    }

    [Fact]
    public void Options_that_contradict_each_other_are_refused()
    {
        AssertRefused(new TlsOptions { Certificates = [] }, "needs a certificate");
        AssertRefused(_files.Server() with { ClientAuthentication = ClientAuthentication.Required }, "authorities that issue them");
        AssertRefused(_files.Server(ClientAuthentication.Required) with { ClientAuthorities = _files.Write("none.pem", "none") },
            "none.pem' has no certificate");
        AssertRefused(_files.Server() with { PrincipalMappingRules = "RULE:" }, "RULE:");
    }

    [Fact]
    public async Task Certificate_is_chosen_by_the_host_that_the_client_asks_for()
    {
        var first = _files.Authority.IssueServer(["broker.example.com"]);
        var second = _files.Authority.IssueServer(["*.internal", "10.0.0.1"]);
        await using var loaded = Load(_files.Write(first, "first"), _files.Write(second, "second"));
        Assert.Equal(first.SerialNumber, ServedTo(loaded, "broker.example.com"));
        Assert.Equal(second.SerialNumber, ServedTo(loaded, "KAFKA.internal"));
        Assert.Equal(first.SerialNumber, ServedTo(loaded, "a.kafka.internal"));
        Assert.Equal(first.SerialNumber, ServedTo(loaded, "unknown"));
        Assert.Equal(first.SerialNumber, ServedTo(loaded, null));
        Assert.Equal(first.SerialNumber, ServedTo(loaded, "not a host\0"));
    }

    [Fact]
    public async Task Replaced_files_are_used_without_a_restart()
    {
        await using var loaded = Load(_files.Write(_files.Authority.IssueServer()));
        var next = _files.Authority.IssueServer();
        _files.Write(next);
        _time.Advance(WatchedCertificates.CheckInterval);
        Assert.Equal(next.SerialNumber, ServedTo(loaded, null));
        Assert.Contains("New Kafka certificates are loaded", Assert.Single(_log.Lines), StringComparison.Ordinal);
        _time.Advance(WatchedCertificates.CheckInterval);
        Assert.Single(_log.Lines);
    }

    [Fact]
    public async Task Files_that_become_unusable_leave_the_old_certificate_and_are_reported_once()
    {
        var before = _files.Authority.IssueServer();
        var source = _files.Write(before);
        await using var loaded = Load(source);
        var next = _files.Authority.IssueServer();
        File.WriteAllText(source.File, next.ExportCertificatePem());
        _time.Advance(WatchedCertificates.CheckInterval);
        // The key may be about to follow.
        Assert.Empty(_log.Lines);
        _time.Advance(WatchedCertificates.CheckInterval);
        Assert.StartsWith("Error: The changed files of the Kafka certificates cannot be used; the old ones stay in use: The private key",
            Assert.Single(_log.Lines), StringComparison.Ordinal);
        _time.Advance(3 * WatchedCertificates.CheckInterval);
        Assert.Single(_log.Lines);
        Assert.Equal(before.SerialNumber, ServedTo(loaded, null));
        File.Delete(source.File);
        _time.Advance(WatchedCertificates.CheckInterval);
        _time.Advance(WatchedCertificates.CheckInterval);
        Assert.Contains("cannot be read", _log.Lines[1], StringComparison.Ordinal);
        _files.Write(next);
        _time.Advance(WatchedCertificates.CheckInterval);
        Assert.Equal(next.SerialNumber, ServedTo(loaded, null));
    }

    [Fact]
    public async Task Key_that_cannot_sign_is_refused_at_the_start_and_changes_nothing_later()
    {
        var before = _files.Authority.IssueServer();
        await using var loaded = Load(_files.Write(before));
        var (certificate, key) = IssueForAgreement();
        var agreement = new TlsCertificate(_files.Write("agreement.pem", certificate)) { KeyFile = _files.Write("agreement.key", key) };
        AssertRefused(agreement, "agreement.pem' cannot be used for TLS");
        AssertRefused(agreement, "RSA or ECDSA");
        _files.Write("server.pem", certificate);
        _files.Write("server.key", key);
        loaded.Check();
        _time.Advance(WatchedCertificates.CheckInterval);
        var line = Assert.Single(_log.Lines);
        Assert.StartsWith("Error: The changed files of the Kafka certificates cannot be used; the old ones stay in use: The certificate in",
            line, StringComparison.Ordinal);
        Assert.Contains("RSA or ECDSA", line, StringComparison.Ordinal);
        Assert.Equal(before.SerialNumber, ServedTo(loaded, null));
    }

    [Fact]
    public async Task Fault_of_a_look_by_the_timer_is_logged_and_the_next_look_follows()
    {
        var log = new FaultyLog();
        var options = new TlsOptions { Certificates = [_files.Write(_files.Authority.IssueServer())] };
        await using var loaded = WatchedCertificates.Load(options, "Kafka", _time, log);
        _files.Write(_files.Authority.IssueServer());
        _time.Advance(WatchedCertificates.CheckInterval);
        Assert.StartsWith("The files of the Kafka certificates could not be looked at", Assert.Single(log.Errors),
            StringComparison.Ordinal);
        var next = _files.Authority.IssueServer();
        _files.Write(next);
        _time.Advance(WatchedCertificates.CheckInterval);
        Assert.Equal(next.SerialNumber, ServedTo(loaded, null));
    }

    [Fact]
    public async Task Certificate_is_warned_of_once_a_day_before_and_after_its_end()
    {
        var end = _time.GetUtcNow() + WatchedCertificates.WarningTime + TimeSpan.FromSeconds(30);
        await using var loaded = Load(_files.Write(_files.Authority.IssueServer(["localhost"], end)));
        Assert.InRange(Assert.Single(loaded.SecondsLeft).Seconds, 30 * 86400, 30 * 86400 + 30);
        Assert.Empty(_log.Lines);
        _time.Advance(TimeSpan.FromDays(1));
        Assert.Matches("^Warning: The Kafka certificate in '.*server.pem' ends on .* in 29 days.", Assert.Single(_log.Lines));
        _time.Advance(TimeSpan.FromHours(12));
        Assert.Single(_log.Lines);
        _time.Advance(TimeSpan.FromHours(12));
        Assert.Equal(2, _log.Lines.Count);
        _files.Write(_files.Authority.IssueServer(["localhost"], _time.GetUtcNow().AddSeconds(5)));
        _time.Advance(WatchedCertificates.CheckInterval);
        Assert.Matches("^Error: The Kafka certificate in '.*server.pem' ended on .*", _log.Lines[^1]);
        Assert.True(Assert.Single(loaded.SecondsLeft).Seconds < 0);
    }

    // An elliptic key whose usage is the agreement on keys alone.
    private static (string Certificate, string Key) IssueForAgreement()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyAgreement, true));
        using var certificate = request.Create(request.SubjectName, X509SignatureGenerator.CreateForECDsa(key),
            DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddYears(1), new byte[] { 1 });
        return (certificate.ExportCertificatePem(), key.ExportPkcs8PrivateKeyPem());
    }

    private static string ServedTo(WatchedCertificates certificates, string? host) =>
        certificates.OptionsFor(host).ServerCertificateContext!.TargetCertificate.SerialNumber;

    private WatchedCertificates Load(params TlsCertificate[] sources) => Load(new TlsOptions { Certificates = sources });

    private WatchedCertificates Load(TlsOptions options) => WatchedCertificates.Load(options, "Kafka", _time, _log);

    private void AssertRefused(TlsCertificate source, string reason) => AssertRefused(new TlsOptions { Certificates = [source] }, reason);

    private void AssertRefused(TlsOptions options, string reason)
    {
        var refused = Assert.Throws<TlsConfigurationException>(() => Load(options));
        Assert.Contains(reason, refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("wrong-one", refused.ToString(), StringComparison.Ordinal);
    }

    // A fault that nobody expects: it throws when new certificates are loaded.
    private sealed class FaultyLog : EngineLog
    {
        public List<string> Errors { get; } = [];

        public override void Write(EngineLogLevel level, string message, Exception? exception = null)
        {
            if (level == EngineLogLevel.Information)
                throw new InvalidOperationException("unexpected");
            Errors.Add(message);
        }
    }
}
