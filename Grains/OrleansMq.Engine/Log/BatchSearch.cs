namespace OrleansMq.Log;

/// <summary>What a search for a batch came to.</summary>
internal enum BatchSearch
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>It is there.</summary>
    Found = 1,
    /// <summary>The segment holds no such offset, nor a later one.</summary>
    NotHere = 2,
    /// <summary>The index says what the log does not: search without it.</summary>
    IndexWrong = 3,
}
