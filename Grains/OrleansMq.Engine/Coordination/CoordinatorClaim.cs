namespace OrleansMq.Coordination;

/// <summary>The coordinator that owns a set of documents. It stands in each of them, and is raised in each by compare-and-swap before the
/// coordinator serves. From then on a write of an older coordinator loses.</summary>
/// <param name="Epoch">Rises with every coordinator.</param>
/// <param name="Token">Random, of this coordinator alone: after a write of unclear outcome it recognises its own documents by it.</param>
internal readonly record struct CoordinatorClaim(long Epoch, Guid Token);
