namespace OrleansMq.Storage;
/// <summary>The machine's disk.</summary>
public sealed class DiskFileSystem;
/// <summary>A disk in memory.</summary>
public sealed class MemoryFileSystem;
