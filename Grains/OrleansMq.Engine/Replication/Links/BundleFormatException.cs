namespace OrleansMq.Replication.Links;

/// <summary>Bytes from another broker are not a bundle of this version: a bug of ours, or a broker of another version.</summary>
internal sealed class BundleFormatException(string message) : Exception(message);
