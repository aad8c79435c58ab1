namespace OrleansMq.Tests.Chaos.Running;

/// <summary>A directory that is gone afterwards, unless it is kept for whoever looks for the reason of a failure.</summary>
internal sealed class TemporaryDirectory : IDisposable
{
    public string FullName { get; } = Directory.CreateTempSubdirectory("omq-chaos-").FullName;

    public string this[string name] => Path.Combine(FullName, name);

    /// <summary>Leaves it where it is.</summary>
    public bool IsKept { get; set; }

    public void Dispose()
    {
        if (!IsKept)
            Directory.Delete(FullName, recursive: true);
    }
}
