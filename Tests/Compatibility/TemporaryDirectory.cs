namespace OrleansMq.Tests.Compatibility;

/// <summary>A directory of a test's own, gone afterwards.</summary>
internal sealed class TemporaryDirectory : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("omq-compatibility-").FullName;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
