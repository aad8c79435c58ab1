namespace OrleansMq.Tests.Chaos.Running;

/// <summary>A directory that is deleted afterwards, unless it is kept for the analysis of a failure.</summary>
internal sealed class TemporaryDirectory : IDisposable
{
    public string FullName { get; } = Directory.CreateTempSubdirectory("omq-chaos-").FullName;

    public string this[string name] => Path.Combine(FullName, name);

    /// <summary>Whether the directory is kept.</summary>
    public bool IsKept { get; set; }

    public void Dispose()
    {
        if (!IsKept)
            Directory.Delete(FullName, recursive: true);
    }
}
