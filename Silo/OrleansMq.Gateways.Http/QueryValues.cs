using System.Globalization;
using OrleansMq.Client;

namespace OrleansMq.Gateways.Http;

/// <summary>The validated query of a request: an unknown, repeated or invalid parameter is refused by name.</summary>
internal readonly struct QueryValues
{
    private readonly IQueryCollection _query;

    /// <summary>Reads the query of <paramref name="http"/>, in which only <paramref name="allowed"/> parameters may occur.</summary>
    /// <exception cref="RequestException">A parameter is unknown or repeated.</exception>
    public QueryValues(HttpContext http, params ReadOnlySpan<string> allowed)
    {
        _query = http.Request.Query;
        foreach (var (name, values) in _query)
        {
            if (!IsAllowed(name, allowed))
                throw new RequestException($"Query parameter '{name}' is not known; "
                    + (allowed.Length == 0 ? "this takes none." : $"allowed: {string.Join(", ", allowed!)}."));
            if (values.Count > 1)
                throw new RequestException($"Query parameter '{name}' occurs {values.Count} times; give it once.");
        }
    }

    /// <summary>Returns the text of a parameter; null if it is absent or empty.</summary>
    public string? Text(string name) => _query.TryGetValue(name, out var values) && values.ToString() is { Length: > 0 } text ? text : null;

    /// <summary>Parses a whole number.</summary>
    public long Number(string name, long fallback, long least, long most)
    {
        if (Text(name) is not { } text)
            return fallback;
        return long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) && number >= least
            && number <= most
            ? number
            : throw Bad(name, text, $"a whole number from {least} to {most}");
    }

    /// <summary>Parses an id; null if it is absent or empty.</summary>
    public Guid? Id(string name) => Text(name) is not { } text ? null
        : Guid.TryParseExact(text, "D", out var id) ? id : throw Bad(name, text, "an id such as 0190f5b2-7c41-7d11-9f35-1d2a6f2b8c90");

    /// <summary>Parses <c>acks</c>: 0, 1 or all, the default.</summary>
    public Acks Acks() => HttpContract.TryParseAcks(Text("acks"), out var acks) ? acks
        : throw Bad("acks", Text("acks"), "0, 1, replicated or all");

    /// <summary>Parses <c>isolation</c>: read_uncommitted, the default, or read_committed.</summary>
    public IsolationLevel Isolation() => HttpContract.TryParseIsolation(Text("isolation"), out var isolation)
        ? isolation
        : throw Bad("isolation", Text("isolation"), "read_uncommitted or read_committed");

    /// <summary>Parses <c>compression</c>: none, the default, gzip, snappy, lz4 or zstd.</summary>
    public CompressionType Compression() => Text("compression") switch
    {
        null or "none" => CompressionType.None,
        "gzip" => CompressionType.Gzip,
        "snappy" => CompressionType.Snappy,
        "lz4" => CompressionType.Lz4,
        "zstd" => CompressionType.Zstd,
        var text => throw Bad("compression", text, "none, gzip, snappy, lz4 or zstd"),
    };

    /// <summary>Parses <c>encoding</c>, that of keys, values and header values: utf8, the default, or base64.</summary>
    public bool IsBase64() => Text("encoding") switch
    {
        null or "utf8" => false,
        "base64" => true,
        var text => throw Bad("encoding", text, "utf8 or base64"),
    };

    /// <summary>Creates the error of an invalid value.</summary>
    public static RequestException Bad(string name, string? value, string expected) =>
        new($"Query parameter '{name}' is '{value}'; expected {expected}.");

    private static bool IsAllowed(string name, ReadOnlySpan<string> allowed)
    {
        foreach (var candidate in allowed)
        {
            if (string.Equals(candidate, name, StringComparison.OrdinalIgnoreCase))
                return true;
        }
        return false;
    }
}
