using OrleansMq.Gateways.Kafka;

namespace OrleansMq.Silo.Configuration;

/// <summary>A Kafka listener of the settings: <c>[NAME=][HOST:]PORT,PROTOCOL[,ADVERTISED]</c>.</summary>
/// <param name="Name">Its name; that of its protocol by default.</param>
/// <param name="Listen">Its address.</param>
/// <param name="Protocol">How clients connect.</param>
/// <param name="Advertised">The address that clients are told to connect to; null for the default.</param>
internal sealed record KafkaListenerSetting(string Name, ListenAddress Listen, SecurityProtocol Protocol, string? Advertised)
{
    /// <summary>The form that <see cref="TryParse"/> accepts, for error messages.</summary>
    public const string Expected = "[NAME=][HOST:]PORT,PROTOCOL[,ADVERTISED-HOST:PORT], where PROTOCOL is PLAINTEXT, SSL, SASL_PLAINTEXT "
        + "or SASL_SSL, several separated by semicolons, each with its own NAME";

    /// <summary>Parses listeners that are separated by semicolons.</summary>
    /// <returns>Null where one is not valid, or two have the same name.</returns>
    public static KafkaListenerSetting[]? TryParse(string text)
    {
        var listeners = new List<KafkaListenerSetting>();
        foreach (var one in text.Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if (TryParseOne(one) is not { } listener
                || listeners.Exists(other => string.Equals(other.Name, listener.Name, StringComparison.OrdinalIgnoreCase)))
                return null;
            listeners.Add(listener);
        }
        return listeners.Count > 0 ? [.. listeners] : null;
    }

    private static KafkaListenerSetting? TryParseOne(string text)
    {
        var equals = text.IndexOf('=', StringComparison.Ordinal);
        var name = equals < 0 ? null : text[..equals].Trim();
        var parts = text[(equals + 1)..].Split(',', StringSplitOptions.TrimEntries);
        var protocol = SecurityProtocol.Plaintext;
        if (parts.Length > 3 || !ListenAddress.TryParse(parts[0], out var listen)
            || (parts.Length > 1 && !SecurityProtocols.TryParse(parts[1], out protocol))
            || (parts.Length > 2 && !Settings.IsKafkaAddress(parts[2])))
            return null;
        name ??= SecurityProtocols.NameOf(protocol);
        return Settings.IsName(name, 64) ? new KafkaListenerSetting(name, listen, protocol, parts.Length > 2 ? parts[2] : null) : null;
    }
}
