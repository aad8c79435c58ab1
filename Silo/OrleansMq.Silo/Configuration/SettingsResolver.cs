using System.Text.Json;
using OrleansMq.Gateways.Tls;
using OrleansMq.Gateways.Tokens;
using OrleansMq.Topics;

namespace OrleansMq.Silo.Configuration;

/// <summary>An invalid value. The message names the flag, the variable, or the file and key, and the fix.</summary>
internal sealed class SettingsException(string message) : Exception(message);

/// <summary>Resolves the settings: a flag beats the environment, which beats the configuration file, which beats the default.</summary>
internal static class SettingsResolver
{
    /// <summary>The environment variable that names the configuration file.</summary>
    public const string FileVariable = "OMQ_CONFIG";

    /// <param name="flags">The values of the given flags, by <see cref="Setting.Key"/>.</param>
    /// <param name="configFlag">The value of <c>--config</c>, or null.</param>
    /// <param name="environment">Returns the value of an environment variable, or null. An empty one counts as not set.</param>
    /// <param name="readFile">Returns the text of a file.</param>
    /// <exception cref="SettingsException">A value is invalid, a key is unknown, or the file cannot be read.</exception>
    public static BrokerSettings Resolve(IReadOnlyDictionary<string, string> flags, string? configFlag, Func<string, string?> environment,
        Func<string, string> readFile)
    {
        var settings = BrokerSettings.Default;
        if (configFlag is not null)
            settings = ApplyFile(settings, configFlag, $"--config {configFlag}", readFile);
        else if (environment(FileVariable) is { Length: > 0 } path)
            settings = ApplyFile(settings, path, $"{FileVariable}={path}", readFile);

        foreach (var setting in Settings.All)
        {
            if (environment(setting.Variable) is { Length: > 0 } text)
                settings = Apply(settings, setting, text, $"{setting.Variable}={Shown(setting, text)}");
        }
        foreach (var setting in Settings.All)
        {
            if (flags.TryGetValue(setting.Key, out var text))
                settings = Apply(settings, setting, text, $"{setting.Flag} {Shown(setting, text)}");
        }
        CheckTogether(settings);
        return settings;
    }

    private static BrokerSettings Apply(BrokerSettings settings, Setting setting, string text, string source) =>
        setting.Apply(settings, text) ?? throw new SettingsException($"{source}: expected {setting.Expected}.");

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

    private static BrokerSettings ApplyFile(BrokerSettings settings, string path, string source, Func<string, string> readFile)
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
                : ApplyKey(settings, path, property);
        }
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
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new SettingsException($"{source}: the file cannot be read: {e.Message} Check the path and its permissions.");
        }
    }

    private static BrokerSettings ApplyKey(BrokerSettings settings, string path, JsonProperty property)
    {
        var setting = Settings.All.FirstOrDefault(s => s.Key == property.Name)
            ?? throw new SettingsException($"{path}: unknown key \"{property.Name}\"; allowed are {AllowedKeys()}.");
        var text = (setting.IsList && property.Value.ValueKind == JsonValueKind.Array ? Joined(property.Value) : Scalar(property.Value))
            ?? throw new SettingsException($"{path}: \"{property.Name}\": expected {setting.Expected}.");
        return Apply(settings, setting, text, $"{path}: \"{property.Name}\": {Shown(setting, property.Value.GetRawText())}");
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
}
