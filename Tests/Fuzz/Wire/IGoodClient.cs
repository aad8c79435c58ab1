namespace OrleansMq.Tests.Fuzz.Wire;

/// <summary>A client that behaves well, the only one that writes to its topic.</summary>
internal interface IGoodClient : IDisposable
{
    /// <summary>Connects.</summary>
    Task ConnectAsync();

    /// <summary>Appends a value. Returns its offset once it is acknowledged.</summary>
    Task<long> AppendAsync(string value);

    /// <summary>Reads the values from an offset on, at least one.</summary>
    Task<IReadOnlyList<(long Offset, string Value)>> ReadAsync(long offset);
}
