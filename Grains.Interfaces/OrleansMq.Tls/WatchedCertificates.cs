using System.Diagnostics.Metrics;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using OrleansMq.Diagnostics;

namespace OrleansMq.Tls;

/// <summary>
/// The certificates of a gateway's ports, or of the cluster's ports and clients, and the authorities of the other side. It looks at the
/// files again and again, by their content, since a mounted volume may swap them in ways that leave their times unchanged. New files count
/// for connections from then on. Files that cannot be used change nothing, and are logged once they are found unchanged by the next look:
/// certificate and key are seldom replaced at the same moment. Thread safe.
/// </summary>
internal sealed class WatchedCertificates : IDisposable, IAsyncDisposable
{
    /// <summary>How often the files are looked at.</summary>
    public static readonly TimeSpan CheckInterval = TimeSpan.FromSeconds(10);

    /// <summary>How long before its end a certificate is warned of.</summary>
    public static readonly TimeSpan WarningTime = TimeSpan.FromDays(30);

    private static readonly TimeSpan WarningInterval = TimeSpan.FromDays(1);
    private static readonly Oid s_serverUse = new("1.3.6.1.5.5.7.3.1");
    private static readonly Oid s_clientUse = new("1.3.6.1.5.5.7.3.2");
    private static readonly Oid[] s_serverUses = [s_serverUse];
    private static readonly Oid[] s_clientUses = [s_clientUse];
    private static readonly Oid[] s_mutualUses = [s_clientUse, s_serverUse];

    private readonly TlsOptions _options;
    private readonly string _protocol;
    private readonly TimeProvider _clock;
    private readonly EngineLog _log;
    private readonly PrincipalMapping _mapping;
    private readonly RareLine _faults;
    private readonly ITimer _timer;
    private readonly Lock _lock = new();
    private volatile Loaded _loaded;
    private DateTimeOffset _warnAt;
    // What could not be used, and whether that was logged.
    private string? _refused;
    private bool _isReported;

    private WatchedCertificates(TlsOptions options, string protocol, TimeProvider clock, EngineLog log)
    {
        (_options, _protocol, _clock, _log) = (options, protocol, clock, log);
        _faults = new RareLine(log, clock);
        if (options.Certificates.Count == 0)
            throw new TlsConfigurationException("TLS needs a certificate: give its file.");
        if (options.ClientAuthentication != ClientAuthentication.None && options.ClientAuthorities is null)
            throw new TlsConfigurationException("Certificates of clients need the file with the authorities that issue them.");
        _mapping = PrincipalMapping.Parse(options.PrincipalMappingRules);
        var files = Files.Read(options);
        _loaded = Loaded.From(options, files);
        WarnOfEnd(_loaded);
        _timer = clock.CreateTimer(static self => ((WatchedCertificates)self!).Tick(), this, CheckInterval, CheckInterval);
    }

    /// <summary>Loads the files.</summary>
    /// <param name="options">The files and rules.</param>
    /// <param name="protocol">The gateway's protocol, for log lines.</param>
    /// <param name="clock">The clock.</param>
    /// <param name="log">Where log lines go.</param>
    /// <exception cref="TlsConfigurationException">A file or a rule cannot be used.</exception>
    public static WatchedCertificates Load(TlsOptions options, string protocol, TimeProvider clock, EngineLog log) =>
        new(options, protocol, clock, log);

    /// <summary>The certificates' files, and the ends of their validity.</summary>
    public IEnumerable<(string File, DateTimeOffset End)> Ends =>
        _loaded.Certificates.Zip(_options.Certificates, static (loaded, source) => (source.File, loaded.End));

    /// <summary>The seconds until a certificate ends, for each file; negative afterwards.</summary>
    public IEnumerable<(string File, double Seconds)> SecondsLeft
    {
        get
        {
            var now = _clock.GetUtcNow();
            return Ends.Select(one => (one.File, (one.End - now).TotalSeconds));
        }
    }

    /// <summary>Adds the instrument of the certificates' ends to a meter.</summary>
    public void AddTo(Meter meter) => meter.CreateObservableGauge($"orleansmq.{_protocol.ToLowerInvariant()}.certificate.remaining",
        () => SecondsLeft.Select(static one => new Measurement<double>(one.Seconds, KeyValuePair.Create("file", (object?)one.File))),
        "s", $"Time until a {_protocol} certificate ends, by its file.");

    /// <summary>Returns the options of one handshake.</summary>
    /// <param name="host">The host that the client asks for; null or empty if it does not say.</param>
    /// <param name="refuse">Called with the reason when the client's certificate is refused.</param>
    /// <param name="isServerToo">Whether the client is a server, too: its certificate must then be for both uses.</param>
    public SslServerAuthenticationOptions OptionsFor(string? host, Action<string>? refuse = null, bool isServerToo = false)
    {
        var loaded = _loaded;
        var uses = isServerToo ? s_mutualUses : s_clientUses;
        var options = new SslServerAuthenticationOptions
        {
            ServerCertificateContext = loaded.For(host).Context,
            EnabledSslProtocols = _options.Protocols,
            AllowRenegotiation = false,
            ClientCertificateRequired = _options.ClientAuthentication != ClientAuthentication.None,
            CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
        };
        if (loaded.Authorities is { } authorities)
        {
            options.CertificateChainPolicy = authorities.CreatePolicy(uses);
            options.RemoteCertificateValidationCallback = (_, certificate, chain, errors) =>
                Refusal(authorities, certificate, chain, errors, uses) is not { } reason || Refuse(refuse, reason);
        }
        return options;
    }

    /// <summary>Returns the options of a handshake with another holder of such a certificate, as its client: its certificate is of the same
    /// authorities. The names in it are not compared.</summary>
    public SslClientAuthenticationOptions OptionsOfClient()
    {
        var loaded = _loaded;
        var authorities = loaded.Authorities ?? new TrustedAuthorities([]);
        return new SslClientAuthenticationOptions
        {
            ClientCertificateContext = loaded.Certificates[0].Context,
            EnabledSslProtocols = _options.Protocols,
            AllowRenegotiation = false,
            CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
            CertificateChainPolicy = authorities.CreatePolicy(s_serverUses),
            RemoteCertificateValidationCallback = (_, certificate, chain, errors) => certificate is not null
                && authorities.Trusts(certificate, chain, errors & ~SslPolicyErrors.RemoteCertificateNameMismatch, s_serverUses),
        };
    }

    /// <summary>Returns the name of a client, such as <c>User:CN=alice,O=Example</c>; null for a client without a certificate.</summary>
    /// <exception cref="TlsConfigurationException">No rule matches its subject.</exception>
    public string? PrincipalOf(X509Certificate? certificate)
    {
        if (certificate is null)
            return null;
        var subject = DistinguishedNames.ToRfc2253(new X500DistinguishedName(SubjectOf(certificate)));
        return _mapping.Map(subject) is { } name ? $"User:{name}"
            : throw new TlsConfigurationException($"no principal mapping rule matches the certificate's subject '{subject}'");
    }

    /// <summary>Looks at the files, as the timer does.</summary>
    public void Check()
    {
        lock (_lock)
        {
            CheckFiles();
            if (_clock.GetUtcNow() >= _warnAt)
                WarnOfEnd(_loaded);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _timer.Dispose();

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _timer.DisposeAsync();

    // Of a timer, where a fault would end the process.
    private void Tick()
    {
        try
        {
            Check();
        }
        catch (Exception fault)
        {
            _faults.Write(EngineLogLevel.Error, $"The files of the {_protocol} certificates could not be looked at; what is loaded stays "
                + $"in use: {fault.Message}", fault);
        }
    }

    private void CheckFiles()
    {
        string? content = null;
        try
        {
            var files = Files.Read(_options);
            content = files.Digest;
            if (content == _loaded.Digest)
            {
                _refused = null;
                return;
            }
            if (content != _refused)
                _isReported = false;
            var loaded = Loaded.From(_options, files);
            (_loaded, _refused) = (loaded, null);
            _log.Write(EngineLogLevel.Information, $"New {_protocol} certificates are loaded; the first ends on "
                + $"{loaded.Certificates.Min(static one => one.End):yyyy-MM-dd HH:mm} UTC. Open connections keep the old ones.");
            WarnOfEnd(loaded);
        }
        catch (TlsConfigurationException fault)
        {
            var seen = content ?? fault.Message;
            if (_refused == seen && !_isReported)
            {
                _isReported = true;
                _log.Write(EngineLogLevel.Error,
                    $"The changed files of the {_protocol} certificates cannot be used; the old ones stay in use: {fault.Message}");
            }
            if (_refused != seen)
                (_refused, _isReported) = (seen, false);
        }
    }

    private void WarnOfEnd(Loaded loaded)
    {
        var now = _clock.GetUtcNow();
        _warnAt = now + WarningInterval;
        foreach (var (source, one) in _options.Certificates.Zip(loaded.Certificates))
        {
            if (one.End <= now)
                _log.Write(EngineLogLevel.Error, $"The {_protocol} certificate in '{source.File}' ended on {one.End:yyyy-MM-dd HH:mm} UTC: "
                    + "clients refuse it. Replace the file; no restart is needed.");
            else if (one.End - now < WarningTime)
                _log.Write(EngineLogLevel.Warning, $"The {_protocol} certificate in '{source.File}' ends on "
                    + $"{one.End:yyyy-MM-dd HH:mm} UTC, in {(one.End - now).TotalDays:0} days. Replace the file before; no restart is "
                    + "needed.");
        }
    }

    private static bool Refuse(Action<string>? refuse, string reason)
    {
        refuse?.Invoke(reason);
        return false;
    }

    private string? Refusal(TrustedAuthorities authorities, X509Certificate? certificate, X509Chain? chain, SslPolicyErrors errors,
        Oid[] uses)
    {
        if (certificate is null)
            return _options.ClientAuthentication == ClientAuthentication.Required ? "the client has no certificate" : null;
        if (authorities.Trusts(certificate, chain, errors, uses))
            return null;
        var status = chain?.ChainStatus is { Length: > 0 } faults
            ? string.Join(", ", faults.Select(static fault => fault.Status)) : errors.ToString();
        return $"the client's certificate '{certificate.Subject}' is not trusted: {status}";
    }

    private static byte[] SubjectOf(X509Certificate certificate) => certificate is X509Certificate2 full
        ? full.SubjectName.RawData
        : X509CertificateLoader.LoadCertificate(certificate.GetRawCertData()).SubjectName.RawData;

    /// <summary>The content of all files.</summary>
    private sealed record Files(IReadOnlyList<(byte[] Certificate, byte[]? Key)> Certificates, byte[]? Authorities, string Digest)
    {
        public static Files Read(TlsOptions options)
        {
            var certificates = options.Certificates.Select(static source => (CertificateFiles.Read(source.File),
                source.KeyFile is { } key ? CertificateFiles.Read(key) : null)).ToArray();
            var authorities = options.ClientAuthentication == ClientAuthentication.None || options.ClientAuthorities is not { } file
                ? null : CertificateFiles.Read(file);
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            foreach (var content in certificates.SelectMany(static one => new[] { one.Item1, one.Item2 ?? [] }).Append(authorities ?? []))
                hash.AppendData(SHA256.HashData(content));
            return new Files(certificates, authorities, Convert.ToHexString(hash.GetHashAndReset()));
        }
    }

    /// <summary>A certificate that is in use.</summary>
    private sealed record LoadedCertificate(X509Certificate2 Certificate, SslStreamCertificateContext Context)
    {
        public DateTimeOffset End { get; } = new(Certificate.NotAfter.ToUniversalTime());
    }

    /// <summary>What is in use. The certificates are not disposed: handshakes and connections may still use them.</summary>
    private sealed record Loaded(IReadOnlyList<LoadedCertificate> Certificates, TrustedAuthorities? Authorities, string Digest)
    {
        public static Loaded From(TlsOptions options, Files files)
        {
            var authorities = files.Authorities is { } content
                ? CertificateFiles.DecodeAuthorities(options.ClientAuthorities!, content) : null;
            // Tells clients with several certificates which one to take.
            var trust = authorities is not null && OperatingSystem.IsLinux()
                ? SslCertificateTrust.CreateForX509Collection(authorities, sendTrustInHandshake: true) : null;
            var certificates = options.Certificates.Zip(files.Certificates, (source, file) =>
            {
                var (certificate, intermediates) = CertificateFiles.Decode(source, file.Certificate, file.Key);
                return new LoadedCertificate(certificate, ContextOf(source, certificate, intermediates, trust));
            });
            return new Loaded([.. certificates], authorities is null ? null : new TrustedAuthorities(authorities), files.Digest);
        }

        private static SslStreamCertificateContext ContextOf(TlsCertificate source, X509Certificate2 certificate,
            X509Certificate2Collection intermediates, SslCertificateTrust? trust)
        {
            try
            {
                return SslStreamCertificateContext.Create(certificate, intermediates, offline: true, trust);
            }
            catch (Exception fault) when (fault is NotSupportedException or CryptographicException)
            {
                throw new TlsConfigurationException($"The certificate in '{source.File}' cannot be used for TLS: {fault.Message} Its key "
                    + "must be RSA or ECDSA, and its key usage, if it names one, must include digitalSignature.", fault);
            }
        }

        public LoadedCertificate For(string? host) => Certificates.Count > 1 && !string.IsNullOrEmpty(host)
            && Uri.CheckHostName(host) != UriHostNameType.Unknown
            ? Certificates.FirstOrDefault(one => one.Certificate.MatchesHostname(host)) ?? Certificates[0]
            : Certificates[0];
    }
}
