namespace OrleansMq.Tests.Compatibility;

/// <summary>A temporary directory that is deleted afterwards.</summary>
internal sealed class TemporaryDirectory : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("omq-compatibility-").FullName;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
