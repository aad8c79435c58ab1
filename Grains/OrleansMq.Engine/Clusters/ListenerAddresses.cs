namespace OrleansMq.Clusters;

/// <summary>The addresses of a broker's listeners as text, such as <c>PLAINTEXT=10.0.0.1:9092,SSL=broker.example.com:9093</c>.</summary>
internal static class ListenerAddresses
{
    /// <summary>The name of a listener that was given none.</summary>
    public const string Usual = "PLAINTEXT";

    /// <summary>Formats addresses.</summary>
    /// <param name="addresses">Names and addresses.</param>
    /// <returns>Null where the text is not needed: there is none, or one of the usual name.</returns>
    public static string? Format(IReadOnlyCollection<KeyValuePair<string, string>> addresses) =>
        addresses.Count == 0 || (addresses.Count == 1 && addresses.All(static one => one.Key == Usual)) ? null
            : string.Join(',', addresses.Select(static one => $"{one.Key}={one.Value}"));

    /// <summary>Finds an address by the listener's name, in any case; null if there is none.</summary>
    public static string? Find(string addresses, string listener)
    {
        foreach (var one in addresses.Split(','))
        {
            var equals = one.IndexOf('=', StringComparison.Ordinal);
            if (equals > 0 && one.AsSpan(0, equals).Equals(listener, StringComparison.OrdinalIgnoreCase))
                return one[(equals + 1)..];
        }
        return null;
    }
}
