using System.Globalization;

namespace OrleansMq.Gateways.Kafka;

/// <summary>The address of a Kafka listener: <c>host:port</c>, with an IPv6 address in brackets.</summary>
internal static class KafkaAddress
{
    /// <summary>Parses an address.</summary>
    /// <param name="text">Such as <c>kafka.example.com:9092</c>.</param>
    /// <param name="host">A name or an address, without brackets.</param>
    /// <param name="port">1 to 65,535.</param>
    public static bool TryParse(string text, out string host, out int port)
    {
        ArgumentNullException.ThrowIfNull(text);
        var colon = text.LastIndexOf(':');
        host = colon > 0 ? text[..colon].Trim('[', ']') : "";
        return int.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out port) && host.Length > 0
            && port is > 0 and <= ushort.MaxValue;
    }
}
