using System.Text;
using Microsoft.IdentityModel.Tokens;
using OrleansMq.Diagnostics;

namespace OrleansMq.Gateways.Tokens;

/// <summary>The keys of an issuer, as they were read last.</summary>
/// <param name="Keys">Public keys for signatures.</param>
/// <param name="ReadAt">When they were read.</param>
internal sealed record SigningKeySet(IReadOnlyList<SecurityKey> Keys, long ReadAt)
{
    // A signature is verified with each key that may have made it.
    private const int MaxCandidates = 8;

    /// <summary>The keys that may have signed a token: those of its key id, the first eight for a token without one.</summary>
    public IEnumerable<SecurityKey> For(string? keyId) =>
        (string.IsNullOrEmpty(keyId) ? Keys : Keys.Where(key => key.KeyId == keyId)).Take(MaxCandidates);
}

/// <summary>
/// Reads the keys of an issuer, again and again: an issuer replaces them. While they cannot be read, those that were read before count. A
/// token of an unknown key has them read at once, though not more often than each ten seconds. Thread safe.
/// </summary>
internal sealed class SigningKeys : IDisposable
{
    // A set of keys has some kilobytes.
    private const int MaxBytes = 1 << 20;
    private const int MaxKeys = 100;
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan LeastPause = TimeSpan.FromSeconds(10);
    // While none are known yet: each token would ask the issuer.
    private static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Interval = TimeSpan.FromMinutes(5);
    // Keys that were not looked at for longer may have been withdrawn.
    private static readonly TimeSpan MaxAge = 2 * Interval;

    private readonly string _place;
    private readonly Uri? _uri;
    private readonly TimeProvider _clock;
    private readonly HttpClient _http;
    private readonly RareLine _unreadable;
    private readonly Lock _lock = new();
    private volatile SigningKeySet? _current;
    private Task<SigningKeySet?>? _reading;
    private long? _triedAt;

    /// <param name="place">A URL, or a file.</param>
    /// <param name="clock">The clock.</param>
    /// <param name="log">Receives what goes wrong.</param>
    /// <exception cref="TokenConfigurationException">It is a file that cannot be used.</exception>
    public SigningKeys(string place, TimeProvider clock, EngineLog log)
    {
        (_place, _clock, _unreadable) = (place, clock, new RareLine(log, clock));
        _http = new HttpClient { Timeout = Timeout, MaxResponseContentBufferSize = MaxBytes };
        if (Uri.TryCreate(place, UriKind.Absolute, out var uri) && !uri.IsFile)
            _uri = uri;
        else
            _current = ReadFile();
    }

    /// <summary>Reads the keys in the background, before the first token needs them.</summary>
    public void Begin() => _ = ReadOnceAsync(TimeSpan.Zero);

    /// <summary>Returns the keys.</summary>
    /// <exception cref="IOException">They were never read, and cannot be read now.</exception>
    public async ValueTask<SigningKeySet> GetAsync(CancellationToken cancellationToken)
    {
        if (_current is not { } current)
            return await ReadOnceAsync(FirstPause).WaitAsync(cancellationToken).ConfigureAwait(false)
                ?? throw new IOException("The keys of tokens cannot be read.");
        var age = _clock.GetElapsedTime(current.ReadAt);
        if (age >= MaxAge)
            return await ReadOnceAsync(LeastPause).WaitAsync(cancellationToken).ConfigureAwait(false) ?? current;
        if (age >= Interval)
            _ = ReadOnceAsync(LeastPause);
        return current;
    }

    /// <summary>Returns newer keys than some that do not have a token's; null where there are none yet.</summary>
    public async ValueTask<SigningKeySet?> NewerAsync(SigningKeySet seen, CancellationToken cancellationToken)
    {
        if (_current != seen)
            return _current;
        var read = await ReadOnceAsync(LeastPause).WaitAsync(cancellationToken).ConfigureAwait(false);
        return read == seen ? null : read;
    }

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    // One reads for all who wait. It returns what counts afterwards.
    private Task<SigningKeySet?> ReadOnceAsync(TimeSpan unlessWithin)
    {
        lock (_lock)
        {
            if (_reading is { IsCompleted: false } reading)
                return reading;
            if (_triedAt is { } tried && _clock.GetElapsedTime(tried) < unlessWithin)
                return Task.FromResult(_current);
            _triedAt = _clock.GetTimestamp();
            return _reading = Task.Run(ReadAsync);
        }
    }

    private async Task<SigningKeySet?> ReadAsync()
    {
        try
        {
            _current = _uri is null ? ReadFile()
                : Parse(await _http.GetStringAsync(_uri).ConfigureAwait(false));
        }
        catch (Exception failure) when (failure is TokenConfigurationException or HttpRequestException or OperationCanceledException
            or InvalidOperationException)
        {
            _unreadable.Write(EngineLogLevel.Warning, $"The keys of tokens could not be read from '{_place}': {failure.Message} "
                + (_current is null ? "Until then no token is accepted." : "Those that were read before stay in use."), failure);
        }
        return _current;
    }

    private SigningKeySet ReadFile()
    {
        try
        {
            var file = new FileInfo(_uri?.LocalPath ?? _place);
            return file.Length > MaxBytes
                ? throw new TokenConfigurationException($"'{_place}' has {file.Length} bytes; a set of keys has at most {MaxBytes}.")
                : Parse(File.ReadAllText(file.FullName, Encoding.UTF8));
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new TokenConfigurationException($"'{_place}' cannot be read: {failure.Message}", failure);
        }
    }

    private SigningKeySet Parse(string text)
    {
        IList<SecurityKey> keys;
        try
        {
            keys = new JsonWebKeySet(text).GetSigningKeys();
        }
        catch (Exception malformed) when (malformed is ArgumentException or System.Text.Json.JsonException)
        {
            throw new TokenConfigurationException($"'{_place}' is no JSON Web Key Set: {malformed.Message}", malformed);
        }
        // A secret that both sides know is no key of an issuer: whoever reads the set could sign with it.
        SecurityKey[] usable = [.. keys.Where(static key => key is RsaSecurityKey or ECDsaSecurityKey or X509SecurityKey).Take(MaxKeys)];
        return usable.Length > 0 ? new SigningKeySet(usable, _clock.GetTimestamp())
            : throw new TokenConfigurationException($"'{_place}' has no RSA or elliptic curve key for signatures.");
    }
}
