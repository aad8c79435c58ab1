using System.Text;
using System.Text.Json;
using OrleansMq.Gateways.Tokens;
using OrleansMq.Tls;
using OrleansMq.Topics;

namespace OrleansMq.Silo.Configuration;

/// <summary>An invalid value. The message names the flag, the variable, or the file and key, and the fix.</summary>
internal sealed class SettingsException(string message) : Exception(message);

/// <summary>Resolves the settings: a flag beats the environment, which beats the configuration file, which beats the default.</summary>
internal static class SettingsResolver
{
    /// <summary>The environment variable that names the configuration file.</summary>
    public const string FileVariable = "OMQ_CONFIG";

    // The most bytes of a file with a secret: far more than any, and little where the path leads elsewhere, such as to /dev/zero.
    private const int MaxSecretBytes = 64 << 10;

    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <param name="flags">The values of the given flags, by <see cref="Setting.Key"/>.</param>
    /// <param name="configFlag">The value of <c>--config</c>, or null.</param>
    /// <param name="environment">Returns the value of an environment variable, or null. An empty one counts as not set.</param>
    /// <param name="readFile">Returns the text of a file.</param>
    /// <param name="openSecret">Opens a file with the value of a secret setting.</param>
    /// <exception cref="SettingsException">A value is invalid, a key is unknown, or a file cannot be read.</exception>
    public static BrokerSettings Resolve(IReadOnlyDictionary<string, string> flags, string? configFlag, Func<string, string?> environment,
        Func<string, string> readFile, Func<string, Stream> openSecret)
    {
        var settings = BrokerSettings.Default;
        var secrets = new Dictionary<string, SecretFile>();
        if (configFlag is not null)
            settings = ApplyFile(settings, secrets, configFlag, $"--config {configFlag}", readFile);
        else if (environment(FileVariable) is { Length: > 0 } path)
            settings = ApplyFile(settings, secrets, path, $"{FileVariable}={path}", readFile);

        foreach (var setting in Settings.All)
        {
            if (environment(setting.Variable) is { Length: > 0 } text)
                settings = Apply(settings, secrets, setting, text, $"{setting.Variable}={Shown(setting, text)}");
        }
        CheckForms("", static setting => setting.Variable, setting => environment(setting.Variable) is { Length: > 0 });
        foreach (var setting in Settings.All)
        {
            if (flags.TryGetValue(setting.Key, out var text))
                settings = Apply(settings, secrets, setting, text, $"{setting.Flag} {Shown(setting, text)}");
        }
        CheckForms("", static setting => setting.Flag, setting => flags.ContainsKey(setting.Key));
        // Last, so that a file whose value another source overrides is not read.
        foreach (var secret in secrets.Values)
            settings = ApplySecret(settings, secret, openSecret);
        CheckTogether(settings);
        return settings;
    }

    // Sources come in ascending order, so the last form of a secret counts. CheckForms refuses two in one source.
    private static BrokerSettings Apply(BrokerSettings settings, Dictionary<string, SecretFile> secrets, Setting setting, string text,
        string source)
    {
        var next = setting.Apply(settings, text) ?? throw new SettingsException($"{source}: expected {setting.Expected}.");
        if (setting.Secret is { } secret)
            secrets[secret.Key] = new SecretFile(secret, text, source);
        else
            secrets.Remove(setting.Key);
        return next;
    }

    private static void CheckForms(string prefix, Func<Setting, string> nameOf, Func<Setting, bool> isGiven)
    {
        foreach (var setting in Settings.All)
        {
            if (setting.Secret is { } secret && isGiven(setting) && isGiven(secret))
                throw new SettingsException($"{prefix}{nameOf(secret)} and {nameOf(setting)} are two forms of one setting: omit one of "
                    + "them.");
        }
    }

    private static BrokerSettings ApplySecret(BrokerSettings settings, SecretFile file, Func<string, Stream> open)
    {
        var text = ReadSecret(file, open);
        return file.Setting.Apply(settings, text)
            ?? throw new SettingsException($"{file.Source}: the file's content is invalid: expected {file.Setting.Expected}.");
    }

    private static string ReadSecret(SecretFile file, Func<string, Stream> open)
    {
        var bytes = new byte[MaxSecretBytes + 1];
        int length;
        try
        {
            using var stream = open(file.Path);
            length = stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
        }
        catch (Exception e) when (IsUnreadable(e))
        {
            throw Unreadable(file.Source, e);
        }
        if (length > MaxSecretBytes)
            throw new SettingsException($"{file.Source}: the file is larger than {MaxSecretBytes} bytes: name one that holds only the "
                + $"value of {file.Setting.Flag}.");
        var text = WithoutLineEnd(Decode(file, bytes.AsSpan(0, length)));
        return text.Length > 0 ? text : throw new SettingsException($"{file.Source}: the file is empty: write the value of "
            + $"{file.Setting.Flag} into it.");
    }

    private static string Decode(SecretFile file, ReadOnlySpan<byte> bytes)
    {
        // Editors of Windows put a mark in front, which is not part of the text.
        var content = bytes.StartsWith(Encoding.UTF8.Preamble) ? bytes[Encoding.UTF8.Preamble.Length..] : bytes;
        try
        {
            return StrictUtf8.GetString(content);
        }
        catch (DecoderFallbackException)
        {
            throw new SettingsException($"{file.Source}: the file is not text in UTF-8: store it as such.");
        }
    }

    private static string WithoutLineEnd(string text) =>
        text.EndsWith("\r\n", StringComparison.Ordinal) ? text[..^2] : text.EndsWith('\n') ? text[..^1] : text;

    private static string Shown(Setting setting, string text) => setting.IsSecret ? "..." : text;

    private static void CheckTogether(BrokerSettings settings)
    {
        if (settings.PostgreSql is not null && settings.Flavour == Flavour.Standalone)
            throw new SettingsException("--flavour standalone and --postgres contradict each other: a standalone broker is not part of a "
                + "cluster. Omit one of them.");
        if (settings.AmqpManagement is not null && settings.Amqp is null)
            throw new SettingsException("--amqp-management manages what AMQP clients use: add --amqp 5672, or omit --amqp-management.");
        CheckTls(settings);
        CheckTokens(settings);
        if (settings.OrleansPrincipal != BrokerSettings.Default.OrleansPrincipal && settings.Flavour == Flavour.Standalone)
            throw new SettingsException("--orleans-principal: a standalone broker has no Orleans clients. Leave it out.");
        if (settings.PostgreSql is null && FirstOfCluster(settings) is { } flag)
            throw new SettingsException($"{flag} applies only to a replicated cluster: add --postgres \"Host=...\", or omit "
                + $"{flag}.");
        if (settings.GroupConsumerSessionTimeout <= settings.GroupConsumerHeartbeatInterval)
            throw new SettingsException("--group-consumer-session-timeout-ms must be above --group-consumer-heartbeat-interval-ms: members "
                + "would time out between two heartbeats.");
    }

    private static void CheckTls(BrokerSettings settings)
    {
        if ((settings.ClusterTlsCertificate is null) != (settings.ClusterTlsCa is null))
            throw new SettingsException("--cluster-tls-certificate and --cluster-tls-ca are given both, or neither: a broker shows its "
                + "certificate, and checks those of others.");
        if (settings.ClusterTlsKey is not null && settings.ClusterTlsCertificate is null)
            throw new SettingsException("--cluster-tls-key is given without --cluster-tls-certificate: give that, too.");
        if (settings.ClusterTlsCertificate is not null && settings.Flavour == Flavour.Standalone)
            throw new SettingsException("--cluster-tls-certificate: a standalone broker has no cluster. Leave it out.");
        if (settings.KafkaListeners.Count > 0 && settings.KafkaAdvertised is not null)
            throw new SettingsException("--kafka-advertised is the address of a single listener without a protocol: give it behind the "
                + "protocol instead, such as --kafka \"0.0.0.0:9092,SSL,kafka.example.com:9092\".");
        if (settings.UsesTls && settings.TlsCertificates.Count == 0)
            throw new SettingsException("A listener with TLS needs a certificate: add --tls-certificate FILE, and --tls-key FILE unless "
                + "the key is in the same file.");
        if (!settings.UsesTls && (settings.TlsCertificates.Count > 0 || settings.TlsClientAuth != ClientAuthentication.None))
            throw new SettingsException("--tls-certificate and --tls-client-auth apply only to listeners with TLS: give one, such as "
                + "--http https://8443 or --kafka \"9092,SSL\", or omit them.");
        if (settings.TlsKeys.Count > 0 && settings.TlsKeys.Count != settings.TlsCertificates.Count)
            throw new SettingsException($"--tls-key names {settings.TlsKeys.Count} files, --tls-certificate "
                + $"{settings.TlsCertificates.Count}: give one key for each certificate, in the same order.");
        if (settings.TlsClientAuth != ClientAuthentication.None && settings.TlsClientCa is null)
            throw new SettingsException("--tls-client-auth needs the authorities that issue the certificates of clients: add "
                + "--tls-client-ca FILE.");
        if (settings.TlsClientAuth == ClientAuthentication.None && settings.TlsClientCa is not null)
            throw new SettingsException("--tls-client-ca has no effect without certificates of clients: add --tls-client-auth requested or "
                + "required.");
    }

    private static void CheckTokens(BrokerSettings settings)
    {
        if (settings.OAuthBearerJwks is not null && (settings.OAuthBearerIssuer is null || settings.OAuthBearerAudiences.Count == 0))
            throw new SettingsException("--oauthbearer-jwks needs --oauthbearer-issuer and --oauthbearer-audience: tokens of other "
                + "issuers, or for other services, would be accepted without them.");
        if (settings.OAuthBearerJwks is null && (settings.OAuthBearerIssuer is not null || settings.OAuthBearerAudiences.Count > 0
            || settings.OAuthBearerSubClaim != TokenOptions.DefaultPrincipalClaim))
            throw new SettingsException("--oauthbearer-issuer, --oauthbearer-audience and --oauthbearer-sub-claim are about tokens: add "
                + "--oauthbearer-jwks with the issuer's keys, or omit them.");
    }

    // Settings without effect must not pass silently, such as a rack that no replica is ever spread over.
    private static string? FirstOfCluster(BrokerSettings settings) =>
        settings.ClusterId != BrokerSettings.Default.ClusterId ? "--cluster-id"
        : settings.Rack is not null ? "--rack"
        : settings.AdvertisedHost is not null ? "--advertised"
        : settings.ReplicationFactor > 1 ? "--replication-factor"
        : settings.ReplicaCatchUpMaxBytesPerSecond > 0 ? "--replica-catch-up-max-bytes-per-second"
        : settings.ReplicaCatchUpLiveShare != BrokerSettings.Default.ReplicaCatchUpLiveShare ? "--replica-catch-up-live-share"
        : settings.AutoRebalance ? "--auto-rebalance"
        : !settings.AutoLeaderRebalance ? "--auto-leader-rebalance"
        : null;

    private static BrokerSettings ApplyFile(BrokerSettings settings, Dictionary<string, SecretFile> secrets, string path, string source,
        Func<string, string> readFile)
    {
        using var document = Parse(path, source, readFile);
        if (document.RootElement.ValueKind != JsonValueKind.Object)
            throw new SettingsException(
                $"{path}: expected a JSON object, such as {{\"data\": \"/var/lib/orleansmq\", \"flush\": \"sync\"}}.");
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var property in document.RootElement.EnumerateObject())
        {
            if (!seen.Add(property.Name))
                throw new SettingsException($"{path}: key \"{property.Name}\" occurs twice; keep one.");
            settings = property.Name == Settings.TopicDefaultsKey
                ? settings with { TopicDefaults = ReadTopicDefaults(path, property.Value) }
                : ApplyKey(settings, secrets, path, property);
        }
        CheckForms($"{path}: ", static setting => $"\"{setting.Key}\"", setting => seen.Contains(setting.Key));
        return settings;
    }

    private static JsonDocument Parse(string path, string source, Func<string, string> readFile)
    {
        try
        {
            return JsonDocument.Parse(readFile(path),
                new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
        }
        catch (JsonException e)
        {
            throw new SettingsException($"{path}: not valid JSON at line {e.LineNumber + 1}, byte {e.BytePositionInLine + 1}: correct it "
                + "there.");
        }
        catch (Exception e) when (IsUnreadable(e))
        {
            throw Unreadable(source, e);
        }
    }

    private static bool IsUnreadable(Exception e) =>
        e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException;

    private static SettingsException Unreadable(string source, Exception e) =>
        new($"{source}: the file cannot be read: {e.Message} Check the path and its permissions.");

    private static BrokerSettings ApplyKey(BrokerSettings settings, Dictionary<string, SecretFile> secrets, string path,
        JsonProperty property)
    {
        var setting = Settings.All.FirstOrDefault(s => s.Key == property.Name)
            ?? throw new SettingsException($"{path}: unknown key \"{property.Name}\"; allowed are {AllowedKeys()}.");
        var text = (setting.IsList && property.Value.ValueKind == JsonValueKind.Array ? Joined(property.Value) : Scalar(property.Value))
            ?? throw new SettingsException($"{path}: \"{property.Name}\": expected {setting.Expected}.");
        return Apply(settings, secrets, setting, text, $"{path}: \"{property.Name}\": {Shown(setting, property.Value.GetRawText())}");
    }

    private static Dictionary<string, string> ReadTopicDefaults(string path, JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Object)
            throw new SettingsException($"{path}: \"{Settings.TopicDefaultsKey}\": expected an object of topic configuration, such as "
                + "{\"retention.ms\": 86400000}.");
        var defaults = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var property in value.EnumerateObject())
        {
            var text = Scalar(property.Value)
                ?? throw new SettingsException($"{path}: \"{Settings.TopicDefaultsKey}\": \"{property.Name}\": expected a string, a "
                + "number, true or false.");
            if (!defaults.TryAdd(property.Name, text))
                throw new SettingsException(
                    $"{path}: \"{Settings.TopicDefaultsKey}\": key \"{property.Name}\" occurs twice; keep one.");
        }
        var checkedConfig = TopicConfigRules.Parse(defaults, TopicConfig.Default);
        return checkedConfig.IsAccepted
            ? defaults : throw new SettingsException($"{path}: \"{Settings.TopicDefaultsKey}\": {checkedConfig.Message}");
    }

    private static string? Joined(JsonElement array)
    {
        var texts = array.EnumerateArray().Select(Scalar).ToArray();
        return texts.Length > 0 && texts.All(static text => text is not null) ? string.Join(';', texts) : null;
    }

    private static string? Scalar(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => value.GetString(),
        JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False => value.GetRawText(),
        _ => null,
    };

    private static string AllowedKeys() => string.Join(", ", Settings.All.Select(s => s.Key).Append(Settings.TopicDefaultsKey));

    /// <summary>A file that holds the value of a secret setting.</summary>
    /// <param name="Setting">The secret setting.</param>
    /// <param name="Path">The file's path.</param>
    /// <param name="Source">Where the path was given, for error messages.</param>
    private sealed record SecretFile(Setting Setting, string Path, string Source);
}
