namespace OrleansMq.Log;

/// <summary>The result of a search for a batch.</summary>
internal enum BatchSearch
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>The batch was found.</summary>
    Found = 1,
    /// <summary>The segment has neither that offset nor a later one.</summary>
    NotHere = 2,
    /// <summary>The index contradicts the log: search without it.</summary>
    IndexWrong = 3,
}
