folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

curl -sS --fail --parallel --parallel-immediate --parallel-max 20 "http://files:8000/[5000-100000:5000]" -o "$folder/#1"
for lines in $(seq 5000 5000 100000); do
  test "$(sha256sum <"$folder/$lines")" = "$(seq 1 "$lines" | sha256sum)"
done
for lines in $(seq 5000 5000 100000); do
  echo "next
url = http://files:8000/
upload-file = $folder/$lines
output = $folder/$lines.digest" >>"$folder/uploads"
done
sed -i 1d "$folder/uploads"
curl -sS --fail --parallel --parallel-max 20 --config "$folder/uploads"
for lines in $(seq 5000 5000 100000); do
  test "$(cat "$folder/$lines.digest")" = "$(sha256sum <"$folder/$lines")"
done
echo "20 files down, 20 up"
