namespace OrleansMq.Coordination;

/// <summary>A document that one coordinator at a time owns. Never changes.</summary>
internal interface IOwnedDocument
{
    /// <summary>The coordinator that wrote it.</summary>
    CoordinatorClaim Coordinator { get; }

    /// <summary>Serializes it as it is stored.</summary>
    byte[] ToBytes();
}

/// <summary>The documents of one coordinator as they are stored, in the order of <see cref="CoordinatorKind.Documents"/>.</summary>
internal abstract record StoredDocuments
{
    /// <summary>The document at a position; null where there is none.</summary>
    public abstract IOwnedDocument? this[int document] { get; }
}

/// <summary>One of the documents that every coordinator of a kind owns.</summary>
/// <param name="Name">Its name in the log.</param>
/// <param name="Contents">What it holds, as a plural in the log: <c>offsets</c>.</param>
/// <param name="StoreType">The type in its key: <c>StoreType/id</c>.</param>
/// <param name="Parse">Reads what was stored; throws <see cref="System.Text.Json.JsonException"/> where it is damaged.</param>
internal sealed record DocumentKind(string Name, string Contents, string StoreType, Func<ReadOnlyMemory<byte>, IOwnedDocument> Parse);

/// <summary>A kind of coordinator, such as that of groups.</summary>
/// <param name="Noun">What one coordinator coordinates, in messages: <c>group</c>.</param>
/// <param name="Documents">Its documents, in the order in which they are claimed; deletes go the other way. So whatever is stored, the
/// first one is. At most <see cref="MaxDocuments"/>.</param>
/// <param name="Collect">Gives what was read of them its type.</param>
internal sealed record CoordinatorKind(string Noun, IReadOnlyList<DocumentKind> Documents,
    Func<IReadOnlyList<IOwnedDocument?>, StoredDocuments> Collect)
{
    /// <summary>The most documents of a coordinator: what a held answer has room for.</summary>
    public const int MaxDocuments = 4;

    /// <summary>A coordinator in messages: <c>Group 'billing'</c>.</summary>
    public string Describe(string id) => $"{char.ToUpperInvariant(Noun[0])}{Noun[1..]} '{id}'";
}
